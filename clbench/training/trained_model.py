"""What is trained in a phase: a backbone with the heads that its losses look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clbench.models import CifarResNet
from clbench.models.bn_folding import FoldedCopy
from clbench.training.adversary import AttackMode


class Outputs(NamedTuple):
    """What a model makes of images; None for a head it has not."""

    projections: Float[Tensor, "n d"] | None
    logits: Float[Tensor, "n k"] | None


class TrainedModel(nn.Module):
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
    """The model as an attack sees it: parameters take no gradients.

    In ``eval`` mode that is a folded copy, brought up to date at the beginning of every attack.
    """

    def __init__(self, model: TrainedModel, mode: AttackMode, *, cosine: bool) -> None:
        self._model = model
        self._cosine = cosine
        self._mode = mode
        self._copy = FoldedCopy(model) if mode == "eval" else None

    @contextmanager
    def network(self) -> Iterator[nn.Module]:
        """Give the network to attack; afterwards the model is as it was found."""
        if self._copy is not None:
            self._copy.refresh()
            assert isinstance(self._copy.network, TrainedModel), "a copy is of the same class"
            self._copy.network.cosine = self._cosine
            yield self._copy.network
            return
        with _in_training(self._model, cosine=self._cosine, updates=self._mode == "train"):
            yield self._model


@contextmanager
def _in_training(model: TrainedModel, *, cosine: bool, updates: bool) -> Iterator[None]:
    """Let the model use the statistics of the batch, with an update of its own or without."""
    trainable = [one for one in model.parameters() if one.requires_grad]
    before = model.training, model.cosine
    statistics = [] if updates else [(one, one.clone()) for one in model.buffers()]
    model.train()
    model.cosine = cosine
    for parameter in trainable:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad = True
        model.train(before[0])
        model.cosine = before[1]
        with torch.no_grad():
            for buffer, kept in statistics:
                buffer.copy_(kept)
