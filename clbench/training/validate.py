"""How good a network in training is, on images that it is not trained on."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.native.pgd import PGD
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import classes_of
from clbench.evaluation.confirm import confirm
from clbench.models.bn_folding import fold
from clbench.runtime.as_found import left_as_found
from clbench.training.recipe import Validation

_BATCH = 512
"""Images at a time. Starts of PGD belong to the images, so it changes nothing but memory."""


def accuracy(
    network: nn.Module, examples: ImageSet, attack: Validation | None, *, device: torch.device
) -> float:
    """Return the share of examples classified rightly, under PGD where an attack is given.

    PGD looks through the folded network; what it returns is confirmed by the network itself.
    """

    def classify(images: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
        with torch.no_grad():
            return classes_of(network(images))

    with left_as_found(network):
        attacked = fold(network) if attack is not None else network
        right = 0
        for start in range(0, len(examples), _BATCH):
            index = torch.arange(start, min(start + _BATCH, len(examples)))
            images, labels = examples.images[index].to(device), examples.labels[index].to(device)
            if attack is None:
                predicted = classify(images)
            else:
                ball = attack.threat_model
                found = PGD(attack.steps)(attacked, images, labels, ball, seed=0, index=index)
                predicted = confirm(classify, images, found, labels, ball).predicted
            right += int((predicted == labels).sum())
    return right / len(examples)
