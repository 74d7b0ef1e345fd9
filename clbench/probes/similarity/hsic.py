"""HSIC of all wanted pairs of taps at once, from minibatches of centred Gram matrices."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clbench.probes.similarity.cka import cka_from_hsic, sums_without_each
from clbench.probes.similarity.gram import FEWEST

Pair = tuple[str, str]
"""The names of two views: that of the rows and that of the columns of a matrix."""

NO_TENSOR = "no tensor with one row per example passes there"
TOO_FEW = f"fewer than {FEWEST} examples"

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Hsic:
    """What an estimator makes of all examples: the numbers that CKA is a ratio of.

    The first matrix of a stack is from all examples, every other one from all but one group.
    ``taps`` and ``reasons`` describe the axes, by view; a reason is why nothing about its tap is
    defined, "" where it is.
    """

    taps: dict[str, tuple[str, ...]]
    reasons: dict[str, tuple[str, ...]]
    own: dict[str, Float64[Tensor, "g r"]]
    cross: dict[Pair, Float64[Tensor, "g r c"]]

    def cka(self, pair: Pair) -> Float64[Tensor, "g r c"]:
        """Return the stack of CKA matrices of two views, NaN where undefined."""
        rows, columns = (self.own[view] for view in pair)
        return cka_from_hsic(self.cross[pair], rows[:, :, None], columns[:, None, :])


class Axes:
    """The taps of every view in the order of execution, and those where nothing is seen.

    The order is that of the first minibatch. A tap that is absent from any minibatch is undefined.
    """

    def __init__(self, wanted: Mapping[str, Sequence[str]], device: torch.device) -> None:
        self.taps: dict[str, tuple[str, ...]] = {}
        self._wanted = wanted
        self._absent: set[tuple[str, str]] = set()
        self._device = device

    def stack(
        self, view: str, found: Mapping[str, Float64[Tensor, "i j"]], shape: tuple[int, int]
    ) -> Float64[Tensor, "t ij"]:
        """Return the matrices of a view as rows, one for each tap, NaN where it is absent."""
        if view not in self.taps:
            self.taps[view] = (*found, *(tap for tap in self._wanted[view] if tap not in found))
        self._absent |= {(view, tap) for tap in self.taps[view] if tap not in found}
        nothing = torch.full(shape, math.nan, dtype=torch.float64, device=self._device)
        return torch.stack([found.get(tap, nothing).flatten() for tap in self.taps[view]])

    def reasons(self, view: str, own: Float64[Tensor, " t"], fewest: int) -> tuple[str, ...]:
        """Return why each tap of a view is undefined, from HSIC with itself; "" where it is not."""
        found = zip(self.taps[view], own.tolist(), strict=True)
        return tuple(self._reason((view, tap), value, fewest) for tap, value in found)

    def _reason(self, place: tuple[str, str], own: float, fewest: int) -> str:
        if place in self._absent:
            return NO_TENSOR
        if fewest < FEWEST:
            return TOO_FEW
        if not math.isfinite(own):
            return "features are not finite"
        return "" if own > 0 else "features do not vary"


class GroupSums(Generic[Key]):
    """Sums of tensors by key and group, of a size that does not depend on their number."""

    def __init__(self, n_groups: int) -> None:
        self._n_groups = n_groups
        self._sums: dict[Key, Tensor] = {}

    def add(self, key: Key, group: int, term: Float64[Tensor, "*any"]) -> None:
        """Add a term to a group; all terms of a key have one shape."""
        if key not in self._sums:
            self._sums[key] = term.new_zeros((self._n_groups, *term.shape))
        self._sums[key][group] += term

    def __getitem__(self, key: Key) -> Float64[Tensor, " g *any"]:
        return self._sums[key]


class MinibatchSums:
    """Debiased HSIC of pairs of taps, from minibatches given one after the other.

    The estimate is the sum over minibatches of the inner products of their U-centred Gram matrices.
    Kept are one matrix for each pair of views and each group of minibatches.

    Args:
        taps: Which taps each view should have.
        pairs: Which views are compared.
        n_groups: Into how many groups minibatches are put, for the interval.
        device: Where the Gram matrices are.
    """

    def __init__(
        self,
        taps: Mapping[str, Sequence[str]],
        pairs: Sequence[Pair],
        n_groups: int,
        device: torch.device,
    ) -> None:
        self._axes, self._pairs = Axes(taps, device), pairs
        self._own: GroupSums[str] = GroupSums(n_groups)
        self._cross: GroupSums[Pair] = GroupSums(n_groups)
        self._fewest = FEWEST

    def add(
        self, grams: Mapping[str, Mapping[str, Float64[Tensor, "n n"]]], n: int, group: int
    ) -> None:
        """Add a minibatch of ``n`` examples: the U-centred Gram matrices by view and tap."""
        self._fewest = min(self._fewest, n)
        rows = {view: self._axes.stack(view, found, (n, n)) for view, found in grams.items()}
        scale = n * (n - 3) if n >= FEWEST else math.nan
        for view, of_view in rows.items():
            self._own.add(view, group, of_view.square().sum(dim=1) / scale)
        for a, b in self._pairs:
            self._cross.add((a, b), group, rows[a] @ rows[b].T / scale)

    def result(self) -> Hsic:
        """Return the sums over all groups, and over all groups but each."""
        taps = self._axes.taps
        own = {view: _whole_and_without_each(self._own[view]).cpu() for view in taps}
        cross = {pair: _whole_and_without_each(self._cross[pair]).cpu() for pair in self._pairs}
        reasons = {view: self._axes.reasons(view, own[view][0], self._fewest) for view in taps}
        return Hsic(taps, reasons, own, cross)


def _whole_and_without_each(terms: Float64[Tensor, " g *any"]) -> Float64[Tensor, " gplus1 *any"]:
    return torch.cat([terms.sum(dim=0, keepdim=True), sums_without_each(terms)])
