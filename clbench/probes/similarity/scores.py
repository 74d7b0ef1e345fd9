"""What an estimator returns: the scores of all pairs of layers, and why some are undefined."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64
from torch import Tensor

from clbench.probes.similarity.gram import FEWEST

Pair = tuple[str, str]
"""The names of two representations: that of the rows and that of the columns of a matrix."""

NO_TENSOR = "no tensor with one row per example passes there"
TOO_FEW = f"fewer than {FEWEST} examples"
NOT_FINITE = "features are not finite"
CONSTANT = "features do not vary"


@dataclass(frozen=True, eq=False)
class Scores:
    """How alike all layers of some pairs of representations are.

    ``layers`` and ``reasons`` describe the axes, by representation; a reason is why nothing about
    its layer is defined, "" where it is. The first matrix of a stack is from all examples, every
    other one from all but one group of them. ``draws`` are the matrices of all examples in other
    orders, by the name of the shuffle; ``heaviest`` is, layer by layer of two equal axes, which
    share of the value the heaviest examples carry.
    """

    layers: Mapping[str, tuple[str, ...]]
    reasons: Mapping[str, tuple[str, ...]]
    stacks: Mapping[Pair, Float64[Tensor, "g r c"]]
    draws: Mapping[str, Mapping[Pair, Float64[Tensor, "k r c"]]] = field(default_factory=dict)
    heaviest: Mapping[Pair, Float64[Tensor, " r"]] = field(default_factory=dict)


class LayerAxes:
    """The layers of every representation in the order of execution, and those never passed.

    The order is that of the first minibatch. A layer that is absent from any minibatch is
    undefined.
    """

    def __init__(self, wanted: Mapping[str, Sequence[str]], device: torch.device) -> None:
        self.layers: dict[str, tuple[str, ...]] = {}
        self._wanted = wanted
        self._absent: set[tuple[str, str]] = set()
        self._device = device

    def stack(
        self,
        name: str,
        found: Mapping[str, Float64[Tensor, "i j"]],
        shape: tuple[int, int],
    ) -> Float64[Tensor, "t ij"]:
        """Return the matrices of a representation as rows by layer, NaN where one is absent."""
        if name not in self.layers:
            self.layers[name] = (
                *found,
                *(layer for layer in self._wanted[name] if layer not in found),
            )
        self._absent |= {(name, layer) for layer in self.layers[name] if layer not in found}
        nothing = torch.full(shape, math.nan, dtype=torch.float64, device=self._device)
        return torch.stack([found.get(layer, nothing).flatten() for layer in self.layers[name]])

    def reasons(self, name: str, own: Float64[Tensor, " t"], fewest: int) -> tuple[str, ...]:
        """Return why each layer is undefined, from HSIC with itself; "" where it is not."""
        found = zip(self.layers[name], own.tolist(), strict=True)
        return tuple(self._reason((name, layer), value, fewest) for layer, value in found)

    def _reason(self, place: tuple[str, str], own: float, fewest: int) -> str:
        if place in self._absent:
            return NO_TENSOR
        if fewest < FEWEST:
            return TOO_FEW
        if not math.isfinite(own):
            return NOT_FINITE
        return "" if own > 0 else CONSTANT
