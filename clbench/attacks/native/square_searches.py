"""How Square moves: where it starts in each norm, and how it changes a window."""

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.autoattack_rows import SQUARE_REMEMBERS
from clbench.attacks.native.pool_attack import Ball
from clbench.attacks.native.windows import Windows, patterns
from clbench.schema.names import NormName

_TINY, _HALF = 1e-12, 0.5

_TILES = 5
"""In L2 and L1 the start has so many patterns, one above the other."""

_INSIDE = 1 - 1e-6
"""Of the L1 ball, so that rounding does not leave it."""


@runtime_checkable
class Search(Protocol):
    """How Square moves in a norm."""

    odd: bool

    def n_start(self, shape: torch.Size) -> int:
        """Return how many numbers a start takes, for images [c, h, w]."""
        ...

    def n_move(self, shape: torch.Size) -> int:
        """Return how many numbers a move takes."""
        ...

    def n_changes(self, shape: torch.Size) -> int:
        """Return how many moves there are of a side, 0 where they are too many to remember."""
        ...

    def change(
        self, side: Int[Tensor, " n"], draws: Float[Tensor, "n k"], shape: torch.Size
    ) -> Int[Tensor, " n"]:
        """Return the number of each move among those of its side."""
        ...

    def start(
        self, clean: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return where items begin."""
        ...

    def move(
        self,
        clean: Float[Tensor, "n c h w"],
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the best images with a window changed."""
        ...


class Corners:
    """Linf: pixels are always as far up or down as the ball and the pixel range let them be."""

    odd = False

    def n_start(self, shape: torch.Size) -> int:
        """Return one number for each column and channel."""
        return shape[0] * shape[2]

    def n_move(self, shape: torch.Size) -> int:
        """Return two for the place and one for each channel."""
        return 2 + shape[0]

    def n_changes(self, shape: torch.Size) -> int:
        """Return a number for each place and each sign of every channel."""
        c, h, w = shape
        return h * w * 2**c if c * h * w <= SQUARE_REMEMBERS else 0

    def change(
        self, side: Int[Tensor, " n"], draws: Float[Tensor, "n k"], shape: torch.Size
    ) -> Int[Tensor, " n"]:
        """Return place and signs as one number."""
        c, h, w = shape
        _, top, left = Windows.drawn(side, draws[:, :2], (h, w))
        signs = (_signs(draws[:, 2:]) > 0) * 2 ** torch.arange(c, device=side.device)
        return (signs.sum(dim=1) * h + top) * w + left

    def start(
        self, clean: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return vertical stripes, up or down."""
        n, c, _, w = clean.shape
        return (clean + ball.eps * _signs(draws).reshape(n, c, 1, w)).clamp(0, 1)

    def move(
        self,
        clean: Float[Tensor, "n c h w"],
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with a window moved up or down, in each channel."""
        shape = best.shape[2], best.shape[3]
        there = Windows.drawn(side, draws[:, :2], shape).inside(shape)
        moved = (clean + ball.eps * _signs(draws[:, 2:])[:, :, None, None]).clamp(0, 1)
        return moved.where(there, best)


class Mass(ABC):
    """L2 and L1: a window takes over the perturbation of another one."""

    power: int
    odd = True

    def n_changes(self, shape: torch.Size) -> int:
        """Return none: a move leads elsewhere as soon as another one was kept."""
        return 0

    def change(
        self,
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        shape: torch.Size,
    ) -> Int[Tensor, " n"]:
        """Return nothing to tell moves by."""
        return torch.zeros_like(side)

    def n_start(self, shape: torch.Size) -> int:
        """Return for each tile one number for a turn and one for each channel."""
        return self._n_tiles(shape) * (1 + shape[0])

    def n_move(self, shape: torch.Size) -> int:
        """Return four for two places, one for a turn, and one for each channel."""
        return 5 + shape[0]

    def start(
        self, clean: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return tiles of patterns, with a sign for each tile and channel."""
        n, c, h, w = clean.shape
        side = h // _TILES
        pattern = patterns(h, self.power)[side, :side, :side].to(clean)
        numbers = draws.reshape(n, self._n_tiles(clean.shape[1:]), 1 + c)
        turned, signs = numbers[:, :, 0] < _HALF, _signs(numbers[:, :, 1:])
        offset, begin = torch.zeros_like(clean), (h - side * _TILES) // 2
        places = [
            (begin + row * side, begin + column * side)
            for row in range(h // side)
            for column in range(w // side)
        ]
        for number, (top, left) in enumerate(places):
            turn = turned[:, number, None, None]
            tile = pattern.T.where(turn, pattern)[:, None] * signs[:, number, :, None, None]
            room = offset[:, :, top : top + side, left : left + side]
            room += tile[:, :, : room.shape[2], : room.shape[3]]
        return self.inside(offset, clean, ball)

    def move(
        self,
        clean: Float[Tensor, "n c h w"],
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with one window emptied and another one stronger by as much."""
        _, c, *size = best.shape
        shape, offset = (size[0], size[1]), best - clean
        taker, giver = (
            Windows.drawn(side, draws[:, :2], shape),
            Windows.drawn(side, draws[:, 2:4], shape),
        )
        takes, gives = taker.inside(shape), giver.inside(shape)
        table = patterns(min(shape), self.power).to(best)
        pattern = (
            taker.pattern(table, draws[:, 4] < _HALF, shape)
            * _signs(draws[:, 5:])[:, :, None, None]
        )
        old = offset * takes
        new = pattern + old / (self.length(old, (2, 3)) + _TINY)
        windows = self.length(offset * (takes | gives), (2, 3))
        strength = self.strength(self.length(offset, (1, 2, 3)), windows, ball.eps, c)
        new = new / (self.length(new, (2, 3)) + _TINY) * strength
        offset = torch.where(takes, new, offset.where(~gives, 0))
        return self.inside(offset, clean, ball)

    def _n_tiles(self, shape: torch.Size) -> int:
        side = shape[1] // _TILES
        return (shape[1] // side) * (shape[2] // side)

    @abstractmethod
    def length(self, offset: Float[Tensor, "n c h w"], axes: tuple[int, ...]) -> Tensor:
        """Return how long perturbations are, along some axes, which stay."""

    @abstractmethod
    def strength(
        self,
        whole: Float[Tensor, "n 1 1 1"],
        windows: Float[Tensor, "n c 1 1"],
        eps: float,
        c: int,
    ) -> Float[Tensor, "n c 1 1"]:
        """Return how long the new window is to be in each of ``c`` channels.

        Args:
            whole: How long the perturbation is.
            windows: How long it is in both windows, channel by channel.
            eps: How long it may be.
            c: The number of channels.
        """

    @abstractmethod
    def inside(
        self, offset: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with these perturbations, in ball and pixel range."""


class Euclidean(Mass):
    """L2: what the perturbation lacks is shared among channels, and it is stretched to eps."""

    power = 2

    def length(self, offset: Float[Tensor, "n c h w"], axes: tuple[int, ...]) -> Tensor:
        """Return the roots of the sums of squares."""
        return offset.square().sum(dim=axes, keepdim=True).sqrt()

    def strength(
        self,
        whole: Float[Tensor, "n 1 1 1"],
        windows: Float[Tensor, "n c 1 1"],
        eps: float,
        c: int,
    ) -> Float[Tensor, "n c 1 1"]:
        """Return the length of the windows with a share of what is missing."""
        spare = (eps**2 - whole.square()).clamp_min(0)
        return (spare / c + windows.square()).sqrt()

    def inside(
        self, offset: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with perturbations of length eps, cut to the pixel range."""
        return (clean + ball.eps * offset / (self.length(offset, (1, 2, 3)) + _TINY)).clamp(0, 1)


class Absolute(Mass):
    """L1: the new window may be too strong; the projection takes back what is too much."""

    power = 4

    def length(self, offset: Float[Tensor, "n c h w"], axes: tuple[int, ...]) -> Tensor:
        """Return the sums of absolute values."""
        return offset.abs().sum(dim=axes, keepdim=True)

    def strength(
        self,
        whole: Float[Tensor, "n 1 1 1"],
        windows: Float[Tensor, "n c 1 1"],
        eps: float,
        c: int,
    ) -> Float[Tensor, "n c 1 1"]:
        """Return what is missing and the windows ``c`` times, in every channel."""
        return (eps - whole).clamp_min(0) + windows * c

    def inside(
        self, offset: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return the nearest images in ball and pixel range."""
        return ball.norm.project(clean + offset, clean, ball.eps * _INSIDE)


SEARCHES: dict[NormName, Search] = {"Linf": Corners(), "L2": Euclidean(), "L1": Absolute()}
"""By norm."""


def _signs(uniform: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return torch.where(uniform < _HALF, -1.0, 1.0)
