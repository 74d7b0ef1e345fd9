"""Rank bands: the ranks that a row of the leaderboard may have, 95 % sure for all rows at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtr

from clbench.analysis.pairs import Band, discordant, exact_mcnemar, rank_bands
from clbench.leaderboard.outcomes import Outcomes


def bands(values: Sequence[float], n: int, outcomes: Sequence[Outcomes | None]) -> list[Band]:
    """Return the band of each of the rows that are ranked together.

    Two networks are compared on their examples, where those of both are known, by McNemar's exact
    test; otherwise as if each had had images of its own, which finds less.

    Args:
        values: What they are ranked by: the accuracy of each.
        n: How many examples there are.
        outcomes: What is known of the examples of each; it counts where it gives that accuracy.
    """
    # of a record that somebody wrote by hand, anything may come
    accuracies = np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)
    p_values = _unpaired(accuracies, max(n, 1))
    known = _on_the_same_examples(accuracies, outcomes)
    if known:
        counts = discordant(np.stack(list(known.values())))
        p_values[np.ix_(list(known), list(known))] = exact_mcnemar(counts, counts.T)
    return rank_bands(accuracies, p_values)


def _on_the_same_examples(
    accuracies: Float64[np.ndarray, " k"], outcomes: Sequence[Outcomes | None]
) -> dict[int, Bool[np.ndarray, " n"]]:
    """Return by its number what is known of each, of those with the examples of the first."""
    known = {
        number: one
        for number, (value, one) in enumerate(zip(accuracies, outcomes, strict=True))
        if one is not None and one.robust.mean() == value
    }
    first = next(iter(known.values()), None)
    return {
        number: one.robust
        for number, one in known.items()
        if first is not None and np.array_equal(one.examples, first.examples)
    }


def _unpaired(accuracies: Float64[np.ndarray, " k"], n: int) -> Float64[np.ndarray, "k k"]:
    """Return p-values of the differences, as if no two networks had the same examples.

    By the normal approximation at the share of both together; on the same examples, where networks
    mostly err alike, a difference is then as large as by chance less often than it says.
    """
    together = (accuracies[:, None] + accuracies) / 2
    error = np.sqrt(together * (1 - together) * 2 / n)
    apart = np.abs(accuracies[:, None] - accuracies)
    p_values: np.ndarray = 2 * ndtr(-apart / np.where(error > 0, error, 1.0))
    return p_values
