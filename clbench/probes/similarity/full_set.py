"""HSIC of the full set of examples, from tiles of Gram matrices that are too large to be held.

A tile holds the inner products of the features of one minibatch with those of another. HSIC needs
the sums of products of elements over all tiles, for each pair of layers, and the sums of rows, for
each layer. Features are shifted by those of one example, so that constant ones are zero and large
ones cost no digits; HSIC does not depend on it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from clbench.probes.similarity.gram import FEWEST, ROUNDING_STEPS
from clbench.probes.similarity.hsic import GroupSums, Hsic
from clbench.probes.similarity.scores import LayerAxes, Pair

Tiles = Mapping[str, Mapping[str, Float64[Tensor, "_ _"]]]
"""One tile of the Gram matrix of every layer, by representation and layer."""


class Place(NamedTuple):
    """A minibatch: which examples it holds, and which group they belong to."""

    examples: slice
    group: int


class Sums(NamedTuple):
    """What HSIC of two Gram matrices K and L of ``n`` examples is made from."""

    products: Float64[Tensor, "*any"]
    """Of all elements K_ij L_ij."""
    rows: Float64[Tensor, "*any"]
    """Of the products of the row sums of K and L."""
    totals: Float64[Tensor, "*any"]
    """The sum of K times the sum of L."""
    n: int


def debiased(sums: Sums) -> Float64[Tensor, "*any"]:
    """Return the unbiased estimate; both matrices have a zero diagonal.

    Source:
        Song et al., 2012, JMLR 13, equation 5.
    """
    products, rows, totals, n = sums
    return (products + totals / ((n - 1) * (n - 2)) - rows * 2 / (n - 2)) / (n * (n - 3))


def biased(sums: Sums) -> Float64[Tensor, "*any"]:
    """Return the biased estimate.

    Source:
        Gretton et al., 2005, Algorithmic Learning Theory, equation 9.
    """
    products, rows, totals, n = sums
    return (products - rows * 2 / n + totals / n**2) / (n - 1) ** 2


def shifted(x: Float[Tensor, "n d"], origin: Float[Tensor, "1 d"]) -> Float64[Tensor, "n d"]:
    """Return features less those of one example; zero where they differ by rounding only."""
    rounding = torch.maximum(x.abs(), origin.abs()) * (ROUNDING_STEPS * torch.finfo(x.dtype).eps)
    moved = x.to(torch.float64) - origin
    return moved.masked_fill_(moved.abs() < rounding, 0)


class TileSums:
    """HSIC of pairs of layers over the full set, from tiles given one after the other.

    Kept are two matrices for each pair of representations and group, and the sums of rows: a number
    for each layer, example and group.

    Args:
        layers: Which layers each representation should have.
        pairs: Which representations are compared.
        groups: The group of every example; one after the other is left out, for the interval.
        n_groups: How many groups there are.
        device: Where the tiles are.
        formula: ``debiased``, for which the diagonal is left out, or ``biased``.
    """

    def __init__(
        self,
        layers: Mapping[str, Sequence[str]],
        pairs: Sequence[Pair],
        *,
        groups: Int64[Tensor, " n"],
        n_groups: int,
        device: torch.device,
        formula: Callable[[Sums], Tensor],
    ) -> None:
        self._axes, self._pairs = LayerAxes(layers, device), pairs
        self._groups, self._n_groups = groups, n_groups
        self._formula = formula
        self._products = _SymmetricSums(n_groups)
        self._rows: dict[str, Tensor] = {}

    def add(self, tiles: Tiles, one: Place, other: Place) -> None:
        """Add the tiles of two minibatches; they stand for those of the other order too."""
        shape = (_length(one), _length(other))
        stacks = {name: self._axes.stack(name, found, shape) for name, found in tiles.items()}
        for name, stack in stacks.items():
            square = stack.view(-1, *shape)
            if one == other and self._formula is debiased:
                square.diagonal(dim1=1, dim2=2).zero_()
            self._add_rows(name, square, one, other)
            self._products.add(name, stack.square().sum(dim=1), one, other)
        for a, b in self._pairs:
            self._products.add((a, b), stacks[a] @ stacks[b].T, one, other)

    def result(self) -> Hsic:
        """Return HSIC of all examples, and of all but each group."""
        layers = self._axes.layers
        without = [self._hsic(left_out) for left_out in range(-1, self._n_groups)]
        own = {name: torch.stack([one[name] for one in without]) for name in layers}
        cross = {pair: torch.stack([one[pair] for one in without]) for pair in self._pairs}
        n = len(self._groups)
        return Hsic(
            layers,
            {name: self._axes.reasons(name, own[name][0], n) for name in layers},
            own,
            cross,
        )

    def _add_rows(
        self, name: str, tiles: Float64[Tensor, "t i j"], one: Place, other: Place
    ) -> None:
        if name not in self._rows:
            self._rows[name] = tiles.new_zeros((len(tiles), len(self._groups), self._n_groups))
        self._rows[name][:, one.examples, other.group] += tiles.sum(dim=2)
        if one != other:
            self._rows[name][:, other.examples, one.group] += tiles.sum(dim=1)

    def _hsic(self, left_out: int) -> dict[str | Pair, Tensor]:
        """Return HSIC by representation and by pair; of all examples where -1 is left out."""
        kept = self._groups != left_out
        n = int(kept.sum())
        rows = {
            name: of_one[:, kept].sum(dim=2) - of_one[:, kept, left_out] * (left_out >= 0)
            for name, of_one in self._rows.items()
        }
        total = {name: of_one.sum(dim=1) for name, of_one in rows.items()}
        found: dict[str | Pair, Tensor] = {}
        for name, row in rows.items():
            products = self._products.without(name, left_out)
            own = self._value(Sums(products, row.square().sum(dim=1), total[name] ** 2, n))
            noise = torch.finfo(torch.float64).eps * products / n
            found[name] = torch.where(own <= noise, 0, own)
        for a, b in self._pairs:
            totals = total[a][:, None] * total[b]
            found[a, b] = self._value(
                Sums(self._products.without((a, b), left_out), rows[a] @ rows[b].T, totals, n)
            )
        return {key: value.cpu() for key, value in found.items()}

    def _value(self, sums: Sums) -> Tensor:
        return self._formula(sums) if sums.n >= FEWEST else sums.products * math.nan


class _SymmetricSums:
    """Sums over all pairs of examples, and over all pairs without each group."""

    def __init__(self, n_groups: int) -> None:
        # over the pairs with the first in a group, and with both in it
        self._first: GroupSums[str | Pair] = GroupSums(n_groups)
        self._both: GroupSums[str | Pair] = GroupSums(n_groups)

    def add(self, key: str | Pair, term: Tensor, one: Place, other: Place) -> None:
        """Add the sum over a tile, and over its mirror image."""
        for side in (one,) if one == other else (one, other):
            self._first.add(key, side.group, term)
            if one.group == other.group:
                self._both.add(key, side.group, term)

    def without(self, key: str | Pair, group: int) -> Tensor:
        """Return the sum over all pairs without a group, over all where it is -1."""
        whole = self._first[key].sum(dim=0)
        return whole if group < 0 else whole - 2 * self._first[key][group] + self._both[key][group]


def _length(place: Place) -> int:
    length: int = place.examples.stop - place.examples.start
    return length
