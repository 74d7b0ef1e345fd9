"""Into which minibatches the examples are divided: part of what an average over them means."""

import math
from itertools import pairwise

import torch
from jaxtyping import Int64
from torch import Tensor

from clbench.probes.similarity.gram import FEWEST

MINIBATCH = 64
"""Examples that are compared at a time, at most. The value depends on it a little, as it depends
on the seed, so it is part of what CKA means here and no matter of speed."""

SMALLEST_GROUP = 8
"""Examples that a minibatch keeps when a small set is divided only to have an interval."""

FEWEST_GROUPS = 5
"""Minibatches wanted for the interval, where there are enough examples."""


def minibatches(n: int, size: int = MINIBATCH) -> list[slice]:
    """Return pieces of ``n`` examples in their order, of ``size`` at most, as even as possible.

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


def shuffled(n: int, seed: int) -> Int64[Tensor, " n"]:
    """Return the order in which examples are divided into minibatches.

    Neighbours in a data set are often alike (of one class, by one writer), so minibatches of them
    would say less about the whole, and differ more, than such of any examples.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))
