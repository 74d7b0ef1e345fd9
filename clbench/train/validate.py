"""How good a network in training is, on images that it is not trained on."""

import torch
from torch import nn

from clbench.attacks.guard import untouched
from clbench.attacks.pgd import PGD
from clbench.data import EvalSet
from clbench.models.fold import fold
from clbench.threat import ThreatModel
from clbench.train.recipe import Validation


def accuracy(
    network: nn.Module, examples: EvalSet, attack: Validation | None, *, device: torch.device
) -> float:
    """Return the share of examples classified rightly, under PGD where an attack is given.

    PGD looks through the folded network, and the verdict is that of the network itself.
    """
    images, labels = examples.images.to(device), examples.labels.to(device)
    with untouched(network):
        if attack is not None:
            index = torch.arange(len(examples))
            ball = ThreatModel("Linf", attack.eps)
            images = PGD(attack.steps)(fold(network), images, labels, ball, seed=0, index=index)
        with torch.no_grad():
            right = network(images).argmax(dim=1) == labels
    return int(right.sum()) / len(examples)
