"""What a probe looks at: a network that was evaluated, and the images it was shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.schema.threat_model import ThreatModel


@runtime_checkable
class Labelled(Protocol):
    """Images in [0, 1] and the class of each, such as an evaluation set."""

    @property
    def images(self) -> Float[Tensor, "n c h w"]:
        """The images."""
        ...

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """Their classes, counted from 0."""
        ...


@runtime_checkable
class Attack(Protocol):
    """Makes adversarial images, as in ``clbench.attacks``."""

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return images that ``model`` should no longer classify as ``labels``."""
        ...


Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Probed:
    """A network on ``device``, what it was shown, and how it was attacked.

    ``adversarial`` are the examples of ``clean`` in the same order. ``attacks`` are what a probe
    that makes adversarial images itself should make them by, one after the other. ``training`` are
    images to fit on and images to choose by, for probes that do; without them, such a probe has
    nothing but reasons.
    """

    network: nn.Module
    clean: Labelled
    adversarial: Float[Tensor, "n c h w"]
    device: torch.device
    threat_model: ThreatModel
    attacks: Sequence[Attack] = ()
    training: tuple[Labelled, Labelled] | None = None
    seed: int = 0
    watch: Watch = lambda _what, _done, _total: None
