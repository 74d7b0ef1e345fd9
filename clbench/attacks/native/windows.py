"""The windows of the Square attack: their sides, their places, and their patterns."""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share of the image that a window covers is halved after these queries."""

_IN_L1 = 4
"""The power of patterns in L1."""

_BUDGET = 10000
"""Queries for which they are meant."""


@cache
def sides(
    n_queries: int, p_init: float, shape: tuple[int, int], *, rescale: bool, odd: bool
) -> Int[Tensor, " q"]:
    """Return the side of the window of every query.

    Args:
        n_queries: How many there are.
        p_init: The share of the image that the first windows cover.
        shape: Height and width of the image.
        rescale: Whether the halvings are moved to fit ``n_queries``.
        odd: Whether sides are odd, and at least 3.
    """
    height, width = shape
    query = torch.arange(n_queries)
    if rescale:
        query = (query * _BUDGET / n_queries).long()
    halvings = torch.bucketize(query, torch.tensor(_HALVINGS))
    share = p_init / 2.0**halvings
    least = 3 if odd else 1
    found = (share * height * width).sqrt().round().long().clamp(min=least)
    if odd:
        found += (found % 2 == 0).long()
    return found.clamp(max=min(height, width))


class Windows(NamedTuple):
    """Square windows, one for each item: side, and the row and column of the first corner."""

    side: Int[Tensor, " n"]
    top: Int[Tensor, " n"]
    left: Int[Tensor, " n"]

    @classmethod
    def drawn(
        cls, side: Int[Tensor, " n"], uniform: Float[Tensor, "n 2"], shape: tuple[int, int]
    ) -> "Windows":
        """Return windows at places drawn with two numbers in [0, 1) each.

        The last place of all is never drawn, as in AutoAttack.
        """
        height, width = shape
        top, left = (
            (uniform[:, 0] * (height - side)).long(),
            (uniform[:, 1] * (width - side)).long(),
        )
        return cls(side, top, left)

    def inside(self, shape: tuple[int, int]) -> Bool[Tensor, "n 1 h w"]:
        """Say which pixels lie in the windows."""
        rows, columns = self._offsets(shape)
        side = self.side[:, None]
        in_rows, in_columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
        return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]

    def pattern(
        self, patterns: Float[Tensor, "s m m"], turned: Bool[Tensor, " n"], shape: tuple[int, int]
    ) -> Float[Tensor, "n 1 h w"]:
        """Return the pattern of each window's side, transposed where ``turned``, at its place."""
        rows, columns = (place.clamp(0, patterns.shape[1] - 1) for place in self._offsets(shape))
        rows, columns = rows[:, :, None], columns[:, None, :]
        turn, side = turned[:, None, None], self.side[:, None, None]
        first, second = torch.where(turn, columns, rows), torch.where(turn, rows, columns)
        return patterns[side, first, second][:, None] * self.inside(shape)

    def _offsets(self, shape: tuple[int, int]) -> tuple[Int[Tensor, "n h"], Int[Tensor, "n w"]]:
        height, width = (torch.arange(length, device=self.side.device) for length in shape)
        return height - self.top[:, None], width - self.left[:, None]


@cache
def patterns(largest: int, power: int) -> Float[Tensor, "s m m"]:
    """Return by side a pattern of two halves of opposite signs, each falling off from its middle.

    In each half, nested squares around the middle weigh 1 / k ** power; the whole has length 1 in
    the norm of L2 for a power of 2, and of L1 for one of 4.

    Source:
        Andriushchenko et al., 2020, arXiv:1912.00049, Section 3.3; Croce and Hein, 2021,
        arXiv:2103.01208, for L1.
    """
    found = torch.zeros(largest + 1, largest, largest)
    for side in range(1, largest + 1):
        half = side // 2
        whole = torch.cat([_hill(half, side, power), -_hill(side - half, side, power)])
        found[side, :side, :side] = whole / _length(whole, power)
    return found


def _hill(height: int, width: int, power: int) -> Float[Tensor, "{height} {width}"]:
    if height == 0:
        return torch.zeros(0, width)
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    distance = torch.maximum(rows[:, None], columns[None, :])
    most = max(height // 2, width // 2)
    weights = 1 / torch.arange(1, most + 2).double() ** power
    hill = weights.flip(0).cumsum(0).flip(0)[distance]
    return (hill / _length(hill, power)).float()


def _length(pattern: Tensor, power: int) -> Tensor:
    return pattern.abs().sum() if power == _IN_L1 else pattern.square().sum().sqrt()
