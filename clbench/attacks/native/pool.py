"""The pool: items of many examples attacked at once, in tiles of one shape that stay full."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items
from clbench.attacks.native.pool_attack import Ball, Example, LooksAhead, Network, PoolAttack, Step
from clbench.attacks.native.under_way import Parked, UnderWay

_SIDE_BY_SIDE = 8
"""Examples for whose attempts there is room at least, where they have several."""

_EMPTY = 0.02
"""The share of places that may stay empty as they are too few for the attempts of an example."""

_RIPE = 4
"""Found images are asked about when they fill this part of a tile."""

_FREE = -1

Supply = Callable[[int], Example]
"""From the place of an example to the example."""

Ask = Callable[[Float[Tensor, " n"], Bool[Tensor, " n"]], Network]
"""From the factor of each row of a tile, and which rows count, to the network for them."""


class Pool:
    """Attacks examples side by side.

    An example that is broken leaves at once, and the next one takes its place: while there is one,
    tiles are full. All attempts of an example start together and make their steps together, so
    that which of them succeeds first depends on nothing else; of several the first one counts.
    What is found waits until the caller has asked the plain network, by ``candidates`` and
    ``settle``; an example whose finds are not confirmed goes on from where it was.

    Args:
        attack: What is done.
        ball: Where it may go.
        tile: How many items make a step together; every tensor that a step sees has as many rows.
        supply: Gives an example when its turn comes.
        waiting: The places of the examples, in their order.
        under_way: What was under way when an earlier pool was left.

    ``ahead`` says how many answers the last advance needed beyond one for each item.
    """

    def __init__(
        self,
        attack: PoolAttack,
        ball: Ball,
        tile: int,
        supply: Supply,
        waiting: Iterable[int],
        *,
        under_way: UnderWay | None = None,
    ) -> None:
        self.attack, self.ball, self.tile, self.supply = attack, ball, tile, supply
        self.waiting = deque(waiting)
        before = under_way or UnderWay((), ())
        self.returning = deque(before.going)
        self.parked = list(before.parked)
        self.tiles: list[Items] = []
        self.ahead = 0
        self.example = torch.empty(0, dtype=torch.int64)
        # attempts of an example make their steps together, so that only one can be ahead
        alone = attack.attempts == 1
        self._ahead_of = attack if alone and isinstance(attack, LooksAhead) else None
        self._most_tiles = _n_tiles(attack.attempts, tile)
        self._note()

    @property
    def active(self) -> Bool[Tensor, " s"]:
        """Which places hold an item under attack."""
        return self.example != _FREE

    @property
    def room(self) -> int:
        """How many examples are attacked side by side, where there are as many."""
        return self.tile * self._most_tiles // self.attack.attempts

    @property
    def looks_ahead(self) -> bool:
        """Whether places of a tile that are free make steps to come of the items in it."""
        return self._ahead_of is not None

    @property
    def steps_made(self) -> int:
        """How many steps the items under attack have made together."""
        active = torch.split(self.active, self.tile)
        pairs = zip(self.tiles, active, strict=False)
        return sum(int(tile.step.cpu()[here].sum()) for tile, here in pairs)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.parked or self._goes_on)

    @property
    def is_ripe(self) -> bool:
        """Whether it is time to ask about what was found."""
        return bool(self.parked) and (len(self.parked) * _RIPE >= self.tile or not self._goes_on)

    @property
    def _goes_on(self) -> bool:
        return bool(self.waiting or self.returning or self.active.any())

    def advance(self, ask: Ask) -> list[int]:
        """Make one step with every item; return the examples of which no attempt has any left."""
        self._fill()
        self._close_up()
        if not self.tiles:
            return []
        actives = torch.split(self.active, self.tile)
        self.ahead = 0
        try:
            made = [
                self._step(ask, items, active)
                for items, active in zip(self.tiles, actives, strict=True)
            ]
        except torch.OutOfMemoryError:
            if not self._halve():
                raise
            return []
        self.tiles = [one.items for one in made]
        found = torch.cat([one.found for one in made]).cpu() & self.active
        done = torch.cat([one.done for one in made]).cpu() & self.active
        self._park(found, done, [one.points for one in made])
        unbroken = torch.unique(self.example[done & self.active])
        self.example[done] = _FREE
        self._note()
        return [int(example) for example in unbroken]

    def _step(self, ask: Ask, items: Items, active: Bool[Tensor, " n"]) -> Step:
        """Make a step with every item of a tile, or several where it has room for them."""
        n_active = int(active.sum())
        if self._ahead_of is None:
            return self.attack.step(ask(items.factor, active), items, self.ball)
        row, device = torch.arange(self.tile), items.step.device
        owner, turn = active.nonzero()[:, 0][row % n_active].to(device), (row // n_active)
        network = ask(items.factor[owner], turn == 0)
        made = self._ahead_of.look_ahead(network, items, self.ball, owner, turn.to(device))
        if made.asked is not None:
            self.ahead += int(made.asked[active.to(device)].sum()) - n_active
        return made

    def candidates(self) -> tuple[list[int], Float[Tensor, "m c h w"]]:
        """Return the examples that are parked, and of each the image to ask about."""
        points = torch.stack([one.points[0] for one in self.parked])
        return [one.example for one in self.parked], points

    def settle(self, broken: Bool[Tensor, " m"]) -> list[int]:
        """Take the word about the candidates; return the examples that have nothing left to do.

        Those are not broken; of those that are, the caller knows.
        """
        parked, self.parked, unbroken = self.parked, [], []
        for one, is_broken in zip(parked, broken.tolist(), strict=True):
            if is_broken:
                continue
            if len(one.points) > 1:
                self.parked.append(replace(one, points=one.points[1:]))
            elif one.is_done:
                unbroken.append(one.example)
            else:
                self.returning.append((one.example, one.items))
        self._note()
        return unbroken

    def under_way(self) -> UnderWay:
        """Return what was under way between the last two steps, wherever this pool is just now."""
        tiles, example, returning, parked = self._noted
        going = [
            (int(one), _rows(tiles, (example == one).nonzero()[:, 0]))
            for one in torch.unique(example[example != _FREE])
        ]
        return UnderWay((*going, *returning), parked)

    def _note(self) -> None:
        """Remember where everything is; steps make new items and leave these as they are."""
        self._noted = (
            *(tuple(self.tiles), self.example.clone()),
            *(tuple(self.returning), tuple(self.parked)),
        )

    def _fill(self) -> None:
        """Give free places to the examples that wait, while all attempts of one have a place."""
        while self.waiting or self.returning:
            free = (~self.active).nonzero()[:, 0]
            if len(free) < self.attack.attempts and len(self.tiles) == self._most_tiles:
                return
            example, items = self._next()
            while len(free) < self.attack.attempts:
                self.tiles.append(items.take(torch.zeros(self.tile, dtype=torch.int64)))
                self.example = torch.cat([self.example, torch.full((self.tile,), _FREE)])
                free = (~self.active).nonzero()[:, 0]
            self._place(example, items, free[: self.attack.attempts])

    def _next(self) -> tuple[int, Items]:
        if self.returning:
            return self.returning.popleft()
        example = self.waiting.popleft()
        return example, self.attack.begin(self.supply(example), self.ball)

    def _place(self, example: int, items: Items, slots: Int[Tensor, " a"]) -> None:
        for number in torch.unique(slots // self.tile).tolist():
            here = slots // self.tile == number
            self.tiles[number].put(slots[here] % self.tile, items.take(here.nonzero()[:, 0]))
        self.example[slots] = example

    def _close_up(self) -> None:
        """Give up the last tiles where the items fit into the others."""
        while self.tiles and int(self.active.sum()) <= (len(self.tiles) - 1) * self.tile:
            start = (len(self.tiles) - 1) * self.tile
            last = self.active[start:].nonzero()[:, 0]
            free = (~self.active[:start]).nonzero()[: len(last), 0]
            moved, examples = self.tiles.pop().take(last), self.example[start:][last]
            self.example = self.example[:start]
            for row, (slot, example) in enumerate(zip(free, examples.tolist(), strict=True)):
                self._place(example, moved.take(slice(row, row + 1)), slot[None])

    def _halve(self) -> bool:
        """Go on with half as many tiles, where the device's memory is too small for all.

        A step makes new items, so that one which failed left nothing behind. The shape of a tile
        stays as it is, as verdicts depend on it. Say whether there are fewer now.
        """
        half, least = len(self.tiles) // 2, math.ceil(self.attack.attempts / self.tile)
        if half < least:
            return False
        torch.cuda.empty_cache()
        self._most_tiles = half
        for example in torch.unique(self.example[half * self.tile :]).tolist():
            if example != _FREE:
                slots = (self.example == example).nonzero()[:, 0]
                self.returning.append((example, _rows(self.tiles, slots)))
                self.example[slots] = _FREE
        self.tiles, self.example = self.tiles[:half], self.example[: half * self.tile]
        self._note()
        return True

    def _park(
        self,
        found: Bool[Tensor, " s"],
        done: Bool[Tensor, " s"],
        points: Sequence[Float[Tensor, "n c h w"]],
    ) -> None:
        """Set the examples aside of which an attempt found something."""
        for example in torch.unique(self.example[found]).tolist():
            slots = (self.example == example).nonzero()[:, 0]
            order = _rows(self.tiles, slots).attempt.argsort().cpu()
            slots = slots[order]
            hits = [divmod(slot, self.tile) for slot in slots.tolist() if found[slot]]
            seen = torch.stack([points[number][row] for number, row in hits])
            is_done = bool(done[slots].any())
            self.parked.append(Parked(example, _rows(self.tiles, slots), seen, is_done))
            self.example[slots] = _FREE


def _n_tiles(attempts: int, tile: int) -> int:
    """Return how many tiles are at work at once, so that few places stay empty."""
    least = math.ceil(attempts * (_SIDE_BY_SIDE if attempts > 1 else 1) / tile)
    some = range(least, 2 * least + 1)
    return next((n for n in some if n * tile % attempts <= _EMPTY * n * tile), least)


def _rows(tiles: Sequence[Items], slots: Int[Tensor, " a"]) -> Items:
    """Return the items at some places."""
    tile = len(tiles[0])
    places = [divmod(slot, tile) for slot in slots.tolist()]
    parts = [tiles[number].take(slice(row, row + 1)) for number, row in places]
    joined: Items = type(parts[0]).join(parts)
    return joined
