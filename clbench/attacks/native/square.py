"""Square: random search by windows of pixels, without gradients."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import margin
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.square_items import BLOCK, SquareItems
from clbench.attacks.native.square_searches import SEARCHES
from clbench.attacks.native.starts import repeated
from clbench.attacks.native.windows import sides


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

    def may_know(self, images: Float[Tensor, "n c h w"], ball: Ball) -> bool:
        """Say whether moves on such images are few enough to be remembered."""
        few = SEARCHES[ball.norm.name].n_changes(images.shape[1:]) > 0
        return few and self.n_restarts == 1  # attempts of an example have to end together

    def begin(self, example: Example, ball: Ball) -> SquareItems:
        """Return the items at their random starts."""
        search, common = SEARCHES[ball.norm.name], repeated(example, self.attempts)
        clean, index = common["clean"], int(example.index)
        n, shape = search.n_start(clean.shape[1:]), clean.shape[1:]
        draws = torch.stack([ball.numbers.uniform(index, one, 0, n=n) for one in range(len(clean))])
        x = search.start(clean, draws.to(clean), ball)
        n_moves = search.n_changes(shape)
        return SquareItems(
            **common,
            best=x,
            margin=x.new_full((len(x),), torch.inf),
            draws=x.new_zeros(len(x), BLOCK, search.n_move(shape)),
            unknown=torch.zeros(len(x), BLOCK, dtype=torch.bool, device=x.device),
            tried=torch.zeros(len(x), n_moves, dtype=torch.int16, device=x.device),
        )

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
        exactly where single queries would have taken them. Most queries are in vain. Those whose
        answer is known are not asked; see ``SquareItems.with_unknown``.
        """
        assert isinstance(items, SquareItems), "the items are those that it began"
        remembers = network.repeats_itself and self.may_know(items.best, ball)
        items = self._ready(items, ball, remembers=remembers)
        waiting = items.waiting & (items.step <= self.n_queries)[:, None]
        number = waiting.cumsum(dim=1)
        query = items.first[owner] + _place_of(number[owner], turn + 1)
        x, labels = self._changed(items, owner, query, ball), items.labels[owner]
        logits = network.logits(x)
        margins, n_waiting = margin(logits, labels).to(items.margin), number[:, -1]
        wrong = logits.argmax(dim=1) != labels  # also where a logit is NaN, unlike the margin
        helps = (margins < items.margin[owner]) | (margins <= 0) | wrong

        # of each item the earliest query that helps, and the row in which it was made
        n, none = len(owner), len(owner) ** 2
        order = torch.where(helps & (turn < n_waiting[owner]), turn * n, none)
        order += torch.arange(n, device=order.device)
        found = torch.full_like(items.step, none).scatter_reduce(0, owner, order, "amin")
        kept, row = found < none, found % n
        vain = torch.bincount(owner, minlength=len(items)).minimum(n_waiting)
        asked = vain.where(~kept, found // n + 1)

        last = items.first + _place_of(number, asked)
        end = torch.where(items.step > 0, items.first + BLOCK, 1).clamp(max=self.n_steps)
        step = torch.where(asked > 0, last + 1, items.step)
        step = end.where(~kept & (asked == n_waiting), step)
        best = x[row].where(wide(kept), items.best)
        lower = kept & ~margins[row].isnan()
        moved = replace(items, step=step, best=best, margin=margins[row].where(lower, items.margin))
        if remembers:
            moved = self._forgotten(moved, kept, ball)
        return Step(moved, kept & wrong[row], best, step > self.n_queries, asked)

    def _changed(
        self,
        items: SquareItems,
        owner: Int[Tensor, " n"],
        query: Int[Tensor, " n"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        """Return the images to ask about: the start at query 0, then changes of the best one."""
        search, best = SEARCHES[ball.norm.name], items.best[owner]
        draws = items.draws[owner, query - items.first[owner]]
        side = self._sides(query, best, odd=search.odd)
        changed = search.move(items.clean[owner], best, side, draws, ball)
        return changed.where(wide(query > 0), best)

    def _sides(
        self, query: Int[Tensor, "..."], images: Float[Tensor, "n c h w"], *, odd: bool
    ) -> Int[Tensor, "..."]:
        """Return the side of the window of some queries."""
        shape = images.shape[2], images.shape[3]
        table = sides(self.n_queries, self.p_init, shape, rescale=self.resc_schedule, odd=odd)
        return table.to(images.device)[(query - 1).clamp(0, self.n_queries - 1)]

    def _ready(self, items: SquareItems, ball: Ball, *, remembers: bool) -> SquareItems:
        """Return the items with random numbers where a block begins, past all blocks in vain."""
        rows = ((items.step > 0) & ((items.step - 1) % BLOCK == 0)).nonzero()[:, 0]
        while len(rows := rows[items.step[rows] <= self.n_queries]):
            items = self._drawn(items, rows, ball)
            items = self._asking(items, rows, ball, remembers=remembers)
            rows = rows[~items.unknown[rows].any(dim=1)]
            step = items.step.clone()
            step[rows] = (step[rows] + BLOCK).clamp(max=self.n_steps)
            items = replace(items, step=step)
        return items

    def _drawn(self, items: SquareItems, rows: Int[Tensor, " m"], ball: Ball) -> SquareItems:
        """Return the items with the random numbers of the block that some of them are in."""
        draws, (_, *shape) = items.draws.clone(), items.draws.shape
        places = torch.stack([items.index, items.attempt, 1 + (items.step - 1) // BLOCK], dim=1)
        drawn = [
            ball.numbers.uniform(*place, n=shape[0] * shape[1]).reshape(*shape)
            for place in places[rows].tolist()
        ]
        draws[rows] = torch.stack(drawn).to(draws)
        return replace(items, draws=draws)

    def _asking(
        self, items: SquareItems, rows: Int[Tensor, " m"], ball: Ball, *, remembers: bool
    ) -> SquareItems:
        """Return the items with what some of them have to ask in their block."""
        some, search = items.take(rows), SEARCHES[ball.norm.name]
        query = some.first[:, None] + torch.arange(BLOCK, device=rows.device)
        in_time = query <= self.n_queries
        if remembers:
            side = self._sides(query, items.best, odd=search.odd)
            some = some.with_unknown(side, search, ball)
        else:
            some = replace(some, unknown=torch.ones_like(some.unknown))
        unknown, tried = items.unknown.clone(), items.tried.clone()
        unknown[rows], tried[rows] = some.unknown & in_time, some.tried
        return replace(items, unknown=unknown, tried=tried)

    def _forgotten(
        self, items: SquareItems, changed: Bool[Tensor, " n"], ball: Ball
    ) -> SquareItems:
        """Return the items, of which some forget what they tried on another best image."""
        rows = (changed & ((items.step - 1) % BLOCK > 0)).nonzero()[:, 0]
        items = replace(items, tried=items.tried.where(~changed[:, None], 0))
        return self._asking(items, rows, ball, remembers=True) if len(rows) else items


def _place_of(number: Int[Tensor, "n q"], wanted: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return the place at which a count that rises along each row reaches a number, or the last."""
    places = torch.searchsorted(number, wanted[:, None])[:, 0]
    return places.clamp(max=number.shape[1] - 1)
