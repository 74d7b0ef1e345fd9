"""How alike two representations are when nothing but chance connects their examples.

The examples of one side are put into another order, many times, and the same value is had each
time. What exceeds such values seldom is above chance. The order is that of all layers at once, so
that the largest value over a whole matrix has a null distribution too.

Within classes, examples change places only with those of their own class: what is then above chance
is more than that both sides tell classes apart. Between clean and adversarial images of the same
examples this is the null that is not rejected too easily.

Sources:
    Westfall and Young, 1993, "Resampling-based multiple testing" (the largest of standardised
    values); Phipson and Smyth, 2010, arXiv:1603.05766 (no p-value is 0).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

SHUFFLED = ANY, WITHIN = "any", "classes"
"""What orders of the examples there are: any, or those within their classes."""

ALPHA = 0.05
"""How often chance alone may look like more."""


@dataclass(frozen=True, eq=False)
class Shuffle:
    """Which orders the examples are put into: ``n`` of them, within ``classes`` where given.

    Attributes:
        n: How many orders.
        seed: Decides them, with the examples that are seen together.
        classes: The class of every example; None puts them into any order.
    """

    n: int
    seed: int
    classes: Int64[Tensor, " examples"] | None = None

    @property
    def name(self) -> str:
        """One of ``SHUFFLED``."""
        return ANY if self.classes is None else WITHIN

    def orders(self, examples: Int64[Tensor, " m"]) -> Int64[Tensor, "k m"]:
        """Return ``n`` orders of examples that are seen together, as places among these."""
        generator = torch.Generator().manual_seed(self.seed + int(examples[0]) + 1)
        drawn = torch.rand(self.n, len(examples), generator=generator, dtype=torch.float64)
        if self.classes is None:
            return drawn.argsort(dim=1)
        classes = self.classes[examples].double()
        found = torch.empty(self.n, len(examples), dtype=torch.int64)
        # the places of a class, in their order, are given to its examples in another one
        found[:, classes.argsort(stable=True)] = (classes + drawn).argsort(dim=1)
        return found


@dataclass(frozen=True, eq=False)
class Null:
    """What chance alone makes of a matrix of similarities.

    Attributes:
        shuffled: The name of the ``Shuffle``.
        n: How many orders were tried.
        level: What chance alone passes in one case of twenty, cell by cell.
        p_value: How often chance alone reaches the value, cell by cell.
        p_adjusted: How often chance alone reaches anywhere in the matrix, as measured by the spread
            of each cell, what the value reaches in its own.
    """

    shuffled: str
    n: int
    level: Float64[np.ndarray, "r c"]
    p_value: Float64[np.ndarray, "r c"]
    p_adjusted: Float64[np.ndarray, "r c"]

    @property
    def transposed(self) -> "Null":
        """The same with rows and columns exchanged."""
        return replace(
            self, level=self.level.T, p_value=self.p_value.T, p_adjusted=self.p_adjusted.T
        )

    def at(self, where: tuple[np.ndarray, ...]) -> "Null":
        """Return the part at these rows and columns; what was adjusted for the whole stays so."""
        return replace(
            self,
            level=self.level[where],
            p_value=self.p_value[where],
            p_adjusted=self.p_adjusted[where],
        )


def null_of(
    shuffled: str,
    values: Float64[np.ndarray, "r c"],
    draws: Float[np.ndarray, "k r c"],
    value_range: tuple[float, float],
) -> Null:
    """Return what the values in other orders say about the values found.

    Args:
        shuffled: The name of the ``Shuffle``.
        values: Of the order in which both sides show the same examples.
        draws: Of other orders of one side.
        value_range: From unlike to alike: whether more or less is more alike.

    Returns:
        NaN where a value is undefined, in its own order or in any other.
    """
    n = len(draws)
    sign = math.copysign(1.0, value_range[1] - value_range[0])
    pool = sign * np.concatenate([values[None], draws.astype(np.float64)])
    spread = pool.std(axis=0)
    defined = np.isfinite(pool).all(axis=0)
    centred = (pool - pool.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    largest = np.where(defined, centred[1:], -np.inf).max(axis=(1, 2))
    place = min(n, math.ceil((1 - ALPHA) * (n + 1)) - 1)
    empty = np.where(defined, 0.0, np.nan)
    return Null(
        shuffled,
        n,
        level=sign * np.partition(pool, place, axis=0)[place] + empty,
        p_value=(1 + (pool[1:] >= pool[0]).sum(axis=0)) / (n + 1) + empty,
        p_adjusted=(1 + (largest[:, None, None] >= centred[0]).sum(axis=0)) / (n + 1) + empty,
    )
