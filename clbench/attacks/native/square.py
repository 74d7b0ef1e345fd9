"""Square: random search by windows of pixels, without gradients."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import margin
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import repeated
from clbench.attacks.native.windows import Windows, patterns, sides
from clbench.schema.names import NormName

_BLOCK = 100
"""Queries for which random numbers are drawn at once."""

_TINY, _HALF = 1e-12, 0.5

_TILES = 5
"""In L2 and L1 the start has so many patterns, one above the other."""

_INSIDE = 1 - 1e-6
"""Of the L1 ball, so that rounding does not leave it."""


@dataclass(kw_only=True)
class SquareItems(Items):
    """Items of Square.

    Attributes:
        x: The image to ask about next.
        best: The image of the least margin so far.
        margin: That margin.
        draws: Random numbers in [0, 1) of some queries.
    """

    x: Float[Tensor, "n c h w"]
    best: Float[Tensor, "n c h w"]
    margin: Float[Tensor, " n"]
    draws: Float[Tensor, "n q k"]


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

    def start(
        self, clean: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return where items begin."""
        ...

    def move(
        self,
        items: SquareItems,
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the best images with a window changed."""
        ...


@dataclass(frozen=True)
class Square:
    """Keeps a change of a window where it lowers the margin; windows shrink with time.

    Source:
        Andriushchenko et al., 2020, arXiv:1912.00049; in L1, Croce and Hein, 2021,
        arXiv:2103.01208.
    """

    n_queries: int = 5000
    n_restarts: int = 1
    p_init: float = 0.8
    resc_schedule: bool = False

    n_target_classes = 0
    item_type = SquareItems

    @property
    def n_steps(self) -> int:
        """Steps of an attempt that finds nothing."""
        return self.n_queries + 1

    @property
    def attempts(self) -> int:
        """Restarts."""
        return self.n_restarts

    def begin(self, example: Example, ball: Ball) -> SquareItems:
        """Return the items at their random starts."""
        search, common = SEARCHES[ball.norm.name], repeated(example, self.attempts)
        clean, index = common["clean"], int(example.index)
        n, shape = search.n_start(clean.shape[1:]), clean.shape[1:]
        draws = torch.stack([ball.numbers.uniform(index, one, 0, n=n) for one in range(len(clean))])
        x = search.start(clean, draws.to(clean), ball)
        empty = torch.zeros(len(x), _BLOCK, search.n_move(shape), dtype=x.dtype, device=x.device)
        margins = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        return SquareItems(**common, x=x, best=x, margin=margins, draws=empty)

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the change of every item, keep it where it helps, and make the next one."""
        assert isinstance(items, SquareItems), "the items are those that it began"
        search, logits = SEARCHES[ball.norm.name], network.logits(items.x)
        margins = margin(logits, items.labels).to(items.margin)
        better = (margins < items.margin) | (margins <= 0)
        best = items.x.where(wide(better), items.best)
        draws = self._draws(items, ball)
        now = draws[torch.arange(len(items), device=draws.device), items.step % _BLOCK]
        x = search.move(items, best, self._sides(items, search), now, ball)
        moved = replace(
            items,
            step=items.step + 1,
            x=x,
            best=best,
            margin=margins.where(better, items.margin),
            draws=draws,
        )
        found = logits.argmax(dim=1) != items.labels
        return Step(moved, found, items.x, items.step >= self.n_queries)

    def _sides(self, items: SquareItems, search: Search) -> Int[Tensor, " n"]:
        shape = items.x.shape[2], items.x.shape[3]
        table = sides(
            self.n_queries, self.p_init, shape, rescale=self.resc_schedule, odd=search.odd
        )
        return table.to(items.x.device)[items.step.clamp(max=self.n_queries - 1)]

    def _draws(self, items: SquareItems, ball: Ball) -> Float[Tensor, "n q k"]:
        """Return the random numbers, new ones where those drawn are used up."""
        used_up = (items.step % _BLOCK == 0).nonzero()[:, 0].tolist()
        if not used_up:
            return items.draws
        draws, (_, *shape) = items.draws.clone(), items.draws.shape
        for row in used_up:
            block = 1 + int(items.step[row]) // _BLOCK
            place = int(items.index[row]), int(items.attempt[row]), block
            numbers = ball.numbers.uniform(*place, n=shape[0] * shape[1])
            draws[row] = numbers.reshape(*shape).to(draws)
        return draws


class Corners:
    """Linf: pixels are always as far up or down as the ball and the pixel range let them be."""

    odd = False

    def n_start(self, shape: torch.Size) -> int:
        """Return one number for each column and channel."""
        return shape[0] * shape[2]

    def n_move(self, shape: torch.Size) -> int:
        """Return two for the place and one for each channel."""
        return 2 + shape[0]

    def start(
        self, clean: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return vertical stripes, up or down."""
        n, c, _, w = clean.shape
        return (clean + ball.eps * _signs(draws).reshape(n, c, 1, w)).clamp(0, 1)

    def move(
        self,
        items: SquareItems,
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with a window moved up or down, in each channel."""
        shape = best.shape[2], best.shape[3]
        there = Windows.drawn(side, draws[:, :2], shape).inside(shape)
        moved = (items.clean + ball.eps * _signs(draws[:, 2:])[:, :, None, None]).clamp(0, 1)
        return moved.where(there, best)


@dataclass(frozen=True)
class Mass:
    """L2 and L1: a window takes over the perturbation of another one."""

    power: int
    order: int
    odd = True

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
        return self._inside(offset, clean, ball)

    def move(
        self,
        items: SquareItems,
        best: Float[Tensor, "n c h w"],
        side: Int[Tensor, " n"],
        draws: Float[Tensor, "n k"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images with one window emptied and another one stronger by as much."""
        _, c, *size = best.shape
        shape, offset = (size[0], size[1]), best - items.clean
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
        new = pattern + old / (self._length(old, (2, 3)) + _TINY)
        spare = (ball.eps**self.order - self._mass(offset, (1, 2, 3))).clamp_min(0)
        budget = self._root(spare / c + self._mass(offset * (takes | gives), (2, 3)))
        if self.order == 1:
            budget = budget * c
        new = new / (self._length(new, (2, 3)) + _TINY) * budget
        offset = torch.where(takes, new, offset.where(~gives, 0))
        return self._inside(offset, items.clean, ball)

    def _n_tiles(self, shape: torch.Size) -> int:
        side = shape[1] // _TILES
        return (shape[1] // side) * (shape[2] // side)

    def _inside(
        self, offset: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return images in the ball; in L2 the perturbation is stretched to eps as well."""
        if self.order == 1:
            return ball.norm.project(clean + offset, clean, ball.eps * _INSIDE)
        return (clean + ball.eps * offset / (self._length(offset, (1, 2, 3)) + _TINY)).clamp(0, 1)

    def _mass(self, offset: Float[Tensor, "n c h w"], axes: tuple[int, ...]) -> Tensor:
        return offset.abs().pow(self.order).sum(dim=axes, keepdim=True)

    def _root(self, mass: Tensor) -> Tensor:
        return mass if self.order == 1 else mass.sqrt()

    def _length(self, offset: Float[Tensor, "n c h w"], axes: tuple[int, ...]) -> Tensor:
        return self._root(self._mass(offset, axes))


SEARCHES: dict[NormName, Search] = {
    "Linf": Corners(),
    "L2": Mass(power=2, order=2),
    "L1": Mass(power=4, order=1),
}
"""By norm."""


def _signs(uniform: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return torch.where(uniform < _HALF, -1.0, 1.0)
