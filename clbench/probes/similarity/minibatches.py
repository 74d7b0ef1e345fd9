"""Into which minibatches the examples are divided: part of what an average over them means."""

import math
from itertools import pairwise

from clbench.probes.similarity.gram import FEWEST

MINIBATCH = 64
"""Examples that are compared at a time, at most. The value depends on it a little, as it depends
on the seed, so it is part of what CKA means here and no matter of speed."""

SMALLEST_GROUP = 8
"""Examples that a minibatch keeps when a small set is divided only to have an interval."""

FEWEST_GROUPS = 5
"""Minibatches wanted for the interval, where there are enough examples."""


def minibatches(n: int, size: int = MINIBATCH) -> list[slice]:
    """Return consecutive pieces of ``n`` examples, at most ``size`` each and as even as possible.

    Sizes differ by one at most, so that no small remainder weighs as much as a whole minibatch;
    sets of at least 16 examples give at least two pieces, and of 40 at least five, for the
    interval. No piece has fewer than ``FEWEST`` examples, unless ``n`` has.

    >>> [(piece.start, piece.stop) for piece in minibatches(130, 64)]
    [(0, 26), (26, 52), (52, 78), (78, 104), (104, 130)]
    """
    for_interval = min(FEWEST_GROUPS, n // SMALLEST_GROUP)
    groups = max(1, min(n // FEWEST, max(math.ceil(n / size), for_interval)))
    edges = [n * k // groups for k in range(groups + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
