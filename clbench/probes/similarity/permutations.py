"""The values of CKA in other orders of the examples, from the Gram matrices that there are.

Another order of the examples puts the elements of a Gram matrix into other places and changes
nothing else, so neither networks nor features are asked again. Of a symmetric matrix with an empty
diagonal, the triangle above it is kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from clbench.probes.similarity.null import Shuffle
from clbench.probes.similarity.scores import Pair

HEAVIEST = 0.01
"""The share of the examples that are called the heaviest; one at least."""

_TINY = torch.finfo(torch.float64).tiny

_GATHERED = 1 << 25
"""Bytes of triangles in other orders that are made at a time."""


@dataclass(frozen=True, eq=False)
class _Minibatch:
    """The Gram matrices of one minibatch, by representation: all layers, each of length 1."""

    examples: Int64[Tensor, " m"]
    triangles: dict[str, Float32[Tensor, "t p"]]
    lengths: dict[str, Float64[Tensor, " t"]]


class Triangles:
    """Gram matrices of all minibatches, kept for values in other orders of the examples."""

    def __init__(self) -> None:
        self._minibatches: list[_Minibatch] = []

    def add(
        self, stacks: Mapping[str, Float64[Tensor, "t nn"]], examples: Int64[Tensor, " n"]
    ) -> None:
        """Keep a minibatch: the U-centred Gram matrices of every representation, flattened."""
        n = len(examples)
        one, other = torch.triu_indices(n, n, offset=1)
        triangles, lengths = {}, {}
        for name, stack in stacks.items():
            triangle = stack.view(-1, n, n)[:, one, other]
            length = triangle.norm(dim=1)
            lengths[name] = length
            triangles[name] = (triangle / length.clamp(min=_TINY)[:, None]).float()
        self._minibatches.append(_Minibatch(examples, triangles, lengths))

    def draws(
        self, pairs: Sequence[Pair], shuffle: Shuffle
    ) -> dict[Pair, Float64[Tensor, "k r c"]]:
        """Return CKA of all pairs of layers, with the examples of the columns in other orders."""
        found = {pair: torch.zeros(()) for pair in pairs}
        own: dict[str, Tensor] = {}
        for minibatch in self._minibatches:
            n = len(minibatch.examples)
            scale = n * (n - 3)
            for name, length in minibatch.lengths.items():
                own[name] = own.get(name, 0) + length.square() / scale
            places = _places(shuffle.orders(minibatch.examples))
            for pair, products in _products(minibatch, pairs, places).items():
                found[pair] = found[pair] + products / scale
        roots = {name: value.sqrt() for name, value in own.items()}
        return {
            (a, b): value / roots[a][:, None] / roots[b][None, :] for (a, b), value in found.items()
        }

    def heaviest(self, one: str, other: str) -> Float64[Tensor, " t"]:
        """Return, layer by layer, which share of HSIC the heaviest examples carry.

        What an example carries are the terms that it is part of, half of each. Above 1 where the
        others carry less than nothing; NaN where HSIC is zero.
        """
        carried = torch.cat([_carried(part, one, other) for part in self._minibatches], dim=1)
        most = max(1, math.ceil(HEAVIEST * carried.shape[1]))
        total: Tensor = carried.sum(dim=1)
        top = carried.topk(most, dim=1).values.sum(dim=1)
        return torch.where(total > 0, top / total, torch.nan)


def _carried(minibatch: _Minibatch, one: str, other: str) -> Float64[Tensor, "t n"]:
    n = len(minibatch.examples)
    products = minibatch.triangles[one].double() * minibatch.triangles[other]
    lengths = minibatch.lengths[one] * minibatch.lengths[other]
    table = products.new_zeros(len(products), n)
    for place in torch.triu_indices(n, n, offset=1, device=table.device):
        table.index_add_(1, place, products)
    return table * lengths[:, None] / (n * (n - 3))


def _places(orders: Int64[Tensor, "k n"]) -> Int64[Tensor, "p k"]:
    """Return where in the triangle each of its elements comes from, for every order."""
    n = orders.shape[1]
    one, other = torch.triu_indices(n, n, offset=1)
    number = torch.zeros(n, n, dtype=torch.int64)
    number[one, other] = number[other, one] = torch.arange(len(one))
    return number[orders[:, one], orders[:, other]].T.contiguous()


def _products(
    minibatch: _Minibatch, pairs: Sequence[Pair], places: Int64[Tensor, "p k"]
) -> dict[Pair, Float64[Tensor, "k r c"]]:
    """Return the inner products of rows with columns in other orders."""
    found = {}
    for column in dict.fromkeys(b for _, b in pairs):
        with_it = [pair for pair in pairs if pair[1] == column]
        rows = torch.cat([minibatch.triangles[a] for a, _ in with_it])
        products = _with_other_orders(rows, minibatch.triangles[column], places)
        sizes = [len(minibatch.triangles[a]) for a, _ in with_it]
        for pair, part in zip(with_it, torch.split(products, sizes, dim=1), strict=True):
            a, b = (minibatch.lengths[name] for name in pair)
            found[pair] = part.double() * (a[:, None] * b[None, :])
    return found


def _with_other_orders(
    rows: Float[Tensor, "r p"], columns: Float[Tensor, "c p"], places: Int64[Tensor, "p k"]
) -> Float[Tensor, "k r c"]:
    by_element = columns.T.contiguous().to(rows.device)
    size = max(1, _GATHERED // max(1, by_element.nbytes))
    parts = []
    for some in torch.split(places.to(rows.device), size, dim=1):
        in_other_orders = by_element[some].flatten(1)
        parts.append((rows @ in_other_orders).view(len(rows), some.shape[1], -1))
    return torch.cat(parts, dim=1).transpose(0, 1)
