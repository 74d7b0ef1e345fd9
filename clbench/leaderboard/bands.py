"""Rank bands: the ranks that a row of the leaderboard may have, 95 % sure for all rows at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtr

from clbench.analysis.pairs import Band, discordant, exact_mcnemar, rank_bands
from clbench.leaderboard.outcomes import ByRun, Outcomes
from clbench.schema.estimate import Estimate
from clbench.schema.records import EvaluationRecord


def bands(records: Sequence[EvaluationRecord], outcomes: ByRun) -> list[Band]:
    """Return the band of each of the records that are ranked together.

    Two networks are compared on their examples, where those of both are known, by McNemar's exact
    test; otherwise as if each had had images of its own, which finds less.

    Args:
        records: All with a robust accuracy.
        outcomes: What is known of their examples.
    """
    accuracies = [measured for one in records if (measured := one.measure("robust_acc"))]
    p_values = _unpaired(accuracies)
    known = _on_the_same_examples([outcomes.get(one.run.hash) for one in records])
    if known:
        counts = discordant(np.stack(list(known.values())))
        p_values[np.ix_(list(known), list(known))] = exact_mcnemar(counts, counts.T)
    return rank_bands(np.array([one.value for one in accuracies]), p_values)


def _on_the_same_examples(
    outcomes: Sequence[Outcomes | None],
) -> dict[int, Bool[np.ndarray, " n"]]:
    """Return by its number what is known of each, of those with the examples of the first."""
    known = {number: one for number, one in enumerate(outcomes) if one is not None}
    first = next(iter(known.values()), None)
    return {
        number: one.robust
        for number, one in known.items()
        if first is not None and np.array_equal(one.examples, first.examples)
    }


def _unpaired(accuracies: Sequence[Estimate]) -> Float64[np.ndarray, "k k"]:
    """Return p-values of the differences, as if no two networks had the same examples.

    By the normal approximation at the share of both together; on the same examples, where networks
    mostly err alike, a difference is then as large as by chance less often than it says.
    """
    # of a record that somebody wrote by hand, anything may come
    values = np.clip([one.value for one in accuracies], 0.0, 1.0)
    together = (values[:, None] + values) / 2
    error = np.sqrt(together * (1 - together) * 2 / max(accuracies[0].n, 1))
    apart = np.abs(values[:, None] - values)
    p_values: np.ndarray = 2 * ndtr(-apart / np.where(error > 0, error, 1.0))
    return p_values
