"""Square: random search by windows of pixels, without gradients."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import margin
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.square_searches import SEARCHES, Search
from clbench.attacks.native.starts import repeated
from clbench.attacks.native.windows import sides

_BLOCK = 100
"""Queries for which random numbers are drawn at once."""


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
        x = search.move(items.clean, best, self._sides(items, search), now, ball)
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
