"""What is trained in a phase: a backbone with the heads that its losses look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clbench.models import CifarResNet
from clbench.models.bn_folding import FoldedTwin
from clbench.training.adversary import AttackMode


class Outputs(NamedTuple):
    """What a learner makes of images; None for a head it has not."""

    projections: Float[Tensor, "n d"] | None
    logits: Float[Tensor, "n k"] | None


class Learner(nn.Module):
    """A network seen through its classifier, through a projector, or both.

    The projector is dropped after the phase. With ``cosine`` the logits have unit length.
    """

    def __init__(
        self, network: CifarResNet, *, projection: int | None, classified: bool, cosine: bool
    ) -> None:
        super().__init__()
        self.network = network
        n = network.num_features
        self.projector = (
            nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, projection))
            if projection
            else None
        )
        self.classified = classified
        self.cosine = cosine

    def forward(self, images: Float[Tensor, "n c h w"]) -> Outputs:
        """Return what the heads make of the pooled features."""
        features = self.network.forward_features(images)
        pooled: Tensor = self.network.forward_head(features, pre_logits=True)
        projections = self.projector(pooled) if self.projector else None
        logits = self.network.get_classifier()(pooled) if self.classified else None
        if logits is not None and self.cosine:
            logits = functional.normalize(logits.float(), dim=1)
        return Outputs(projections, logits)

    @property
    def used(self) -> Iterator[nn.Module]:
        """The modules whose parameters the outputs depend on."""
        heads = (self.projector, self.network.get_classifier() if self.classified else None)
        unused = None if self.classified else self.network.get_classifier()
        yield from (child for child in self.network.children() if child is not unused)
        yield from (head for head in heads if head is not None)


class Attacked:
    """The learner as an attack sees it: parameters take no gradients.

    In ``eval`` mode that is a folded twin, brought up to date at the beginning of every attack.
    """

    def __init__(self, learner: Learner, mode: AttackMode, *, cosine: bool) -> None:
        self._learner = learner
        self._cosine = cosine
        self._mode = mode
        self._twin = FoldedTwin(learner) if mode == "eval" else None

    @contextmanager
    def network(self) -> Iterator[nn.Module]:
        """Give the network to attack; afterwards the learner is as it was found."""
        if self._twin is not None:
            self._twin.refresh()
            assert isinstance(self._twin.network, Learner), "a copy is of the same class"
            self._twin.network.cosine = self._cosine
            yield self._twin.network
            return
        with _in_training(self._learner, cosine=self._cosine, updates=self._mode == "train"):
            yield self._learner


@contextmanager
def _in_training(learner: Learner, *, cosine: bool, updates: bool) -> Iterator[None]:
    """Let the learner use the statistics of the batch, with an update of its own or without."""
    trainable = [one for one in learner.parameters() if one.requires_grad]
    before = learner.training, learner.cosine
    statistics = [] if updates else [(one, one.clone()) for one in learner.buffers()]
    learner.train()
    learner.cosine = cosine
    for parameter in trainable:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad = True
        learner.train(before[0])
        learner.cosine = before[1]
        with torch.no_grad():
            for buffer, kept in statistics:
                buffer.copy_(kept)
