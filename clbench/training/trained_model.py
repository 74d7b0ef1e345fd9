"""What is trained in a phase: a backbone with the heads that its losses look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clbench.models.bn_folding import FoldedCopy
from clbench.training.adversary import AttackMode


class Outputs(NamedTuple):
    """What a model makes of images; None for a head it has not."""

    projections: Float[Tensor, "n d"] | None
    logits: Float[Tensor, "n k"] | None


@runtime_checkable
class Classifier(Protocol):
    """A module whose last layer can be made anew, under timm's names for that."""

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        ...

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new last layer of so many outputs in its place."""
        ...


def fresh_classifier(
    network: nn.Module, n_classes: int, start: Literal["random", "zero"]
) -> nn.Module:
    """Give a network a classifier that has learned nothing, and return it.

    Random weights are drawn from torch's global generator.
    """
    assert isinstance(network, Classifier), "networks that are trained are under timm's names"
    network.reset_classifier(n_classes)
    classifier = network.get_classifier()
    if start == "zero":
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.zero_()
    return classifier


def classifier_of(network: nn.Module) -> nn.Module:
    """Return the last layer of a network that is trained."""
    assert isinstance(network, Classifier), "networks that are trained are under timm's names"
    return network.get_classifier()


class TrainedModel(nn.Module):
    """A network seen through its classifier, through a projector, or both.

    The projector is dropped after the phase; only a ``CifarResNet`` can have one. With ``cosine``
    the logits have unit length.
    """

    def __init__(
        self, network: nn.Module, *, projection: int | None, classified: bool, cosine: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.projector: nn.Module | None = None
        if projection:
            n: int = network.num_features  # type: ignore[assignment] # timm's
            self.projector = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, projection))
        self.classified = classified
        self.cosine = cosine

    def forward(self, images: Float[Tensor, "n c h w"]) -> Outputs:
        """Return what the heads make of the pooled features."""
        projections = logits = None
        if self.projector is None:
            logits = self.network(images)
        else:
            timms: Any = self.network  # which has no types
            pooled: Tensor = timms.forward_head(timms.forward_features(images), pre_logits=True)
            projections = self.projector(pooled)
            logits = classifier_of(self.network)(pooled) if self.classified else None
        if logits is not None and self.cosine:
            logits = functional.normalize(logits.float(), dim=1)
        return Outputs(projections, logits)

    @property
    def used(self) -> Iterator[nn.Module]:
        """The modules whose parameters the outputs depend on."""
        if self.classified:
            yield self.network  # whose parameters need not all be those of its children
        else:
            unused = classifier_of(self.network)
            yield from (child for child in self.network.children() if child is not unused)
        if self.projector is not None:
            yield self.projector


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
