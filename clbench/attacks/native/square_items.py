"""What Square knows of each item, and which of its next queries have an answer already."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int16
from torch import Tensor

from clbench.attacks.native.items import Items
from clbench.attacks.native.pool_attack import Ball
from clbench.attacks.native.square_searches import Search

BLOCK = 100
"""Queries for which random numbers are drawn at once."""

_MOST = 2**15 - 1
"""Above every side."""


@dataclass(kw_only=True)
class SquareItems(Items):
    """Items of Square.

    Attributes:
        best: The image of the least margin so far; the start before the first query.
        margin: That margin.
        draws: Random numbers in [0, 1) of a block of queries.
        unknown: Which queries of the block have to be asked, as long as the best image stays.
        tried: Of each move the smallest window with which it was tried on the best image, counted
            down from a large number; 0 where it was not.
    """

    best: Float[Tensor, "n c h w"]
    margin: Float[Tensor, " n"]
    draws: Float[Tensor, "n q k"]
    unknown: Bool[Tensor, "n q"]
    tried: Int16[Tensor, "n m"]

    @property
    def first(self) -> Int[Tensor, " n"]:
        """The first query of the block that each item is in; 0 before the first block."""
        return torch.where(self.step > 0, self.step - (self.step - 1) % BLOCK, 0)

    @property
    def waiting(self) -> Bool[Tensor, "n q"]:
        """Which queries of its block each item has still to ask.

        Before the first block, it is one, about the start.
        """
        place = torch.arange(BLOCK, device=self.step.device)
        later = self.unknown & (place >= (self.step - self.first)[:, None])
        return later.where((self.step > 0)[:, None], place == 0)

    def with_unknown(self, side: Int[Tensor, "n q"], search: Search, ball: Ball) -> "SquareItems":
        """Return the items with what they still have to ask in their block.

        A move that leaves the best image as it is lowers no margin, and neither does one that was
        tried on it: only the first of those that are equal has to be asked.

        Args:
            side: Of the window of every query of the block.
            search: How Square moves.
            ball: Where it may go.
        """
        (n, q), shape = side.shape, self.best.shape[1:]
        owner = torch.arange(n, device=side.device).repeat_interleave(q)
        best, draws, sides = self.best[owner], self.draws.flatten(0, 1), side.flatten()
        changed = search.move(self.clean[owner], best, sides, draws, ball)
        stays = (changed == best).flatten(1).all(dim=1).reshape(n, q)
        move = search.change(sides, draws, shape).reshape(n, q)
        known = (self.tried.gather(1, move) == _MOST - side) | stays

        later = torch.arange(q, device=side.device) >= (self.step - self.first)[:, None]
        same = (move[:, :, None] == move[:, None]) & (side[:, :, None] == side[:, None])
        twins = (same & later[:, None]).tril(-1).any(dim=2)
        marks = (_MOST - side).where(later, 0).to(self.tried)
        return SquareItems(
            **self.tensors()
            | {
                "unknown": later & ~known & ~twins,
                "tried": self.tried.scatter_reduce(1, move, marks, "amax"),
            }
        )
