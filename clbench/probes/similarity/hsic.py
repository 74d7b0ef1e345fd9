"""HSIC of all wanted pairs of layers at once, from minibatches of centred Gram matrices."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clbench.probes.similarity.cka import cka_from_hsic
from clbench.probes.similarity.gram import FEWEST
from clbench.probes.similarity.scores import LayerAxes, Pair, Scores

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Hsic:
    """What an estimator makes of all examples: the numbers that CKA is a ratio of.

    The first matrix of a stack is from all examples, every other one from all but one group.
    ``layers`` and ``reasons`` are as in ``Scores``.
    """

    layers: dict[str, tuple[str, ...]]
    reasons: dict[str, tuple[str, ...]]
    own: dict[str, Float64[Tensor, "g r"]]
    cross: dict[Pair, Float64[Tensor, "g r c"]]

    def scores(self) -> Scores:
        """Return CKA of all pairs of layers, NaN where undefined."""
        stacks = {
            (a, b): cka_from_hsic(cross, self.own[a][:, :, None], self.own[b][:, None, :])
            for (a, b), cross in self.cross.items()
        }
        return Scores(self.layers, self.reasons, stacks)


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
    """Debiased HSIC of pairs of layers, from minibatches given one after the other.

    The estimate is the sum over minibatches of the inner products of their U-centred Gram matrices.
    Kept are one matrix for each pair of representations and each group of minibatches.

    Args:
        layers: Which layers each representation should have.
        pairs: Which representations are compared.
        n_groups: Into how many groups minibatches are put, for the interval.
        device: Where the Gram matrices are.
    """

    def __init__(
        self,
        layers: Mapping[str, Sequence[str]],
        pairs: Sequence[Pair],
        n_groups: int,
        device: torch.device,
    ) -> None:
        self._axes, self._pairs = LayerAxes(layers, device), pairs
        self._own: GroupSums[str] = GroupSums(n_groups)
        self._cross: GroupSums[Pair] = GroupSums(n_groups)
        self._fewest = FEWEST

    def add(
        self, grams: Mapping[str, Mapping[str, Float64[Tensor, "n n"]]], n: int, group: int
    ) -> dict[str, Float64[Tensor, "t nn"]]:
        """Add a minibatch of ``n`` examples: U-centred Gram matrices by side and layer.

        Returns:
            The same with all layers of a side as rows, in the order of its axis.
        """
        self._fewest = min(self._fewest, n)
        rows = {name: self._axes.stack(name, found, (n, n)) for name, found in grams.items()}
        scale = n * (n - 3) if n >= FEWEST else math.nan
        for name, of_one in rows.items():
            self._own.add(name, group, of_one.square().sum(dim=1) / scale)
        for a, b in self._pairs:
            self._cross.add((a, b), group, rows[a] @ rows[b].T / scale)
        return rows

    def result(self) -> Hsic:
        """Return the sums over all groups, and over all groups but each."""
        layers = self._axes.layers
        own = {name: _whole_and_without_each(self._own[name]).cpu() for name in layers}
        cross = {pair: _whole_and_without_each(self._cross[pair]).cpu() for pair in self._pairs}
        reasons = {name: self._axes.reasons(name, own[name][0], self._fewest) for name in layers}
        return Hsic(layers, reasons, own, cross)


def _whole_and_without_each(terms: Float64[Tensor, " g *any"]) -> Float64[Tensor, " gplus1 *any"]:
    return torch.cat([terms.sum(dim=0, keepdim=True), sums_without_each(terms)])


def sums_without_each(terms: Float64[Tensor, " b *any"]) -> Float64[Tensor, " b *any"]:
    """Return the sum of all terms but the first, all but the second, and so on.

    Nothing is subtracted, so a term that outweighs all others takes no digits away.
    """
    zero = torch.zeros_like(terms[:1])
    before = torch.cat([zero, terms[:-1]]).cumsum(dim=0)
    after = torch.cat([terms[1:], zero]).flip(0).cumsum(dim=0).flip(0)
    return before + after
