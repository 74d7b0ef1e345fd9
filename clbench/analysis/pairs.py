"""Networks on the same examples: which of two is better, and which ranks many may have."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from scipy.special import bdtr

LEVEL = 0.05
"""How often, at most, any of all comparisons that belong together may be wrong."""


class Band(NamedTuple):
    """The best and the worst rank that a network may have."""

    low: int
    high: int


def discordant(correct: Bool[np.ndarray, "k n"]) -> Int64[np.ndarray, "k k"]:
    """Return on how many examples the one (row) is right and the other (column) is not."""
    right = correct.astype(np.float64)
    counts: np.ndarray = np.rint(right @ (1 - right).T).astype(np.int64)
    return counts


def exact_mcnemar(
    gained: Int[np.ndarray, "*m"], lost: Int[np.ndarray, "*m"]
) -> Float64[np.ndarray, "*m"]:
    """Return how often two equally good networks would differ as unevenly, by chance, or more.

    Two-sided, and exact: examples that only one of the two gets right are then as likely to be the
    one's as the other's. With fewer than six of them it is never below 5 %.

    Source:
        McNemar, 1947, "Note on the sampling error of the difference between correlated proportions
        or percentages".

    >>> exact_mcnemar(np.array([6, 3]), np.array([0, 3])).tolist()
    [0.03125, 1.0]
    """
    p: np.ndarray = np.minimum(1.0, 2 * bdtr(np.minimum(gained, lost), gained + lost, 0.5))
    return p


def holm(p_values: Sequence[float] | Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
    """Return p-values, each as large as it must be for all of them to be believed at once.

    Where those of at most 5 % are believed, the chance that any of them is wrong is at most 5 %.

    Source:
        Holm, 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.04, 0.01, 0.03]).tolist()
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def rank_bands(
    accuracy: Float64[np.ndarray, " k"], p_values: Float64[np.ndarray, "k k"]
) -> list[Band]:
    """Return for each network the ranks it may have; all hold at once in 95 of 100 cases.

    The best possible rank counts those that are certainly better, the worst those that are
    certainly not: the pairs whose p-value is at most 5 % after Holm's correction over all pairs.

    Args:
        accuracy: Which of two is the better one.
        p_values: Of the difference of each two; those above the diagonal count.

    Source:
        Mogstad, Romano, Shaikh and Wilhelm, 2024, "Inference for ranks with applications to
        mobility across neighbourhoods and academic achievement across countries".
    """
    k = len(accuracy)
    above = np.triu_indices(k, 1)
    certain = np.zeros((k, k), dtype=np.bool_)
    certain[above] = holm(p_values[above]) <= LEVEL
    better = (certain | certain.T) & (accuracy[:, None] > accuracy)
    counted = zip(better.sum(axis=0).tolist(), better.sum(axis=1).tolist(), strict=True)
    return [Band(1 + above_it, k - below_it) for above_it, below_it in counted]
