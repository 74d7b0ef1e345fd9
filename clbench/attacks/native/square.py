"""Square: random search by windows of pixels, without gradients."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import margin
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.square_searches import SEARCHES
from clbench.attacks.native.starts import repeated
from clbench.attacks.native.windows import sides

_BLOCK = 100
"""Queries for which random numbers are drawn at once."""


@dataclass(kw_only=True)
class SquareItems(Items):
    """Items of Square.

    Attributes:
        best: The image of the least margin so far; the start before the first query.
        margin: That margin.
        draws: Random numbers in [0, 1) of some queries.
    """

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
        """Queries of an attempt that finds nothing."""
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
        return SquareItems(**common, best=x, margin=margins, draws=empty)

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Make one query with every item."""
        alone = torch.arange(len(items), device=items.step.device)
        return self.look_ahead(network, items, ball, alone, torch.zeros_like(alone))

    def look_ahead(
        self,
        network: Network,
        items: Items,
        ball: Ball,
        owner: Int[Tensor, " n"],
        turn: Int[Tensor, " n"],
    ) -> Step:
        """Make several queries with an item at once, as if all but the last one were in vain.

        The first change that helps is kept, and what came after it is forgotten, so that items go
        exactly where single queries would have taken them. Most queries are in vain.
        """
        assert isinstance(items, SquareItems), "the items are those that it began"
        items = self._with_draws(items, ball)
        query, labels = items.step[owner] + turn, items.labels[owner]
        x = self._changed(items, owner, query, ball)
        logits = network.logits(x)
        margins, room = margin(logits, labels).to(items.margin), self._room(items)
        wrong = logits.argmax(dim=1) != labels  # also where a logit is NaN, unlike the margin
        helps = (margins < items.margin[owner]) | (margins <= 0) | wrong

        # of each item the earliest query that helps, and the row in which it was made
        n, none = len(owner), len(owner) ** 2
        order = torch.where(helps & (turn < room[owner]), turn * n, none)
        order += torch.arange(n, device=order.device)
        found = torch.full_like(items.step, none).scatter_reduce(0, owner, order, "amin")
        kept, row = found < none, found % n
        made = (
            torch.bincount(owner, minlength=len(items)).minimum(room).where(~kept, found // n + 1)
        )

        best = x[row].where(wide(kept), items.best)
        lower = kept & ~margins[row].isnan()
        step = items.step + made
        moved = replace(items, step=step, best=best, margin=margins[row].where(lower, items.margin))
        return Step(moved, kept & wrong[row], best, step > self.n_queries)

    def _room(self, items: SquareItems) -> Int[Tensor, " n"]:
        """Return how many queries each item can make with the random numbers that it has."""
        left = torch.where(items.step > 0, _BLOCK - (items.step - 1) % _BLOCK, 1)
        return left.minimum(self.n_steps - items.step)

    def _changed(
        self,
        items: SquareItems,
        owner: Int[Tensor, " n"],
        query: Int[Tensor, " n"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images to ask about: the start at query 0, then changes of the best one."""
        search, best = SEARCHES[ball.norm.name], items.best[owner]
        change = (query - 1).clamp(0, self.n_queries - 1)
        table = sides(
            *(self.n_queries, self.p_init, (best.shape[2], best.shape[3])),
            rescale=self.resc_schedule,
            odd=search.odd,
        )
        draws = items.draws[owner, change % _BLOCK]
        side = table.to(best.device)[change]
        changed = search.move(items.clean[owner], best, side, draws, ball)
        return changed.where(wide(query > 0), best)

    def _with_draws(self, items: SquareItems, ball: Ball) -> SquareItems:
        """Return the items with new random numbers where those drawn are used up."""
        used_up = ((items.step > 0) & ((items.step - 1) % _BLOCK == 0)).nonzero()[:, 0]
        if not len(used_up):
            return items
        draws, (_, *shape) = items.draws.clone(), items.draws.shape
        places = torch.stack([items.index, items.attempt, 1 + (items.step - 1) // _BLOCK], dim=1)
        drawn = [
            ball.numbers.uniform(*place, n=shape[0] * shape[1]).reshape(*shape)
            for place in places[used_up].tolist()
        ]
        draws[used_up] = torch.stack(drawn).to(draws)
        return replace(items, draws=draws)
