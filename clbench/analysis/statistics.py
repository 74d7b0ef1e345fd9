"""Differences and correlations of what was measured, with intervals."""

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from scipy.stats import ConstantInputWarning, rankdata, spearmanrho

from clbench.analysis.tables import NO_LAYERS
from clbench.probes.similarity.matrix import SimilarityMatrix, Summary, summarise
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import Estimate, undefined

FEWEST_MODELS = 4
"""With fewer, no order of the models is unlikely enough to say anything."""

_RESAMPLES = 9_999
_MOST_ORDERS = 10  # models whose orders are all tried: 3,628,800 of them
_ROUNDING = 1e-12


class Correlation(NamedTuple):
    """A rank correlation with its interval, and how often chance alone makes one as strong."""

    estimate: Estimate
    p_value: float


def jackknife_difference(
    name: str,
    more: SimilarityMatrix,
    less: SimilarityMatrix,
    summary: Summary,
) -> Estimate:
    """Return a summary of one matrix less that of another one, both of the same examples.

    The interval is by jackknife over groups of examples that are left out of both matrices at a
    time, so that what the examples do to both alike does not count as uncertainty.
    """
    if not (more.values.size and less.values.size):
        return undefined(name, more.n, NO_LAYERS)
    try:
        value = summary(more.values) - summary(less.values)
    except BadValueError as error:  # too few layers for this summary
        return undefined(name, more.n, str(error))
    both = zip(more.left_out, less.left_out, strict=True)
    left_out = [summary(one) - summary(other) for one, other in both]
    reasons = (similarity.estimate(name, summary).reason for similarity in (more, less))
    return summarise(name, value, left_out, more.n, next(filter(None, reasons), ""))


def independent_difference(name: str, more: Estimate, less: Estimate) -> Estimate:
    """Return one estimate less another one, as if the two were independent.

    The half-width of the interval is the root of the sum of the squares of both half-widths.
    """
    n = min(more.n, less.n)
    if reason := next((one.reason for one in (more, less) if math.isnan(one.value)), ""):
        return undefined(name, n, reason)
    value, half = more.value - less.value, math.hypot(_half(more), _half(less))
    return Estimate(name, value, n, value - half, value + half, more.reason or less.reason)


def mean_of(name: str, estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates that err together: its half-width is the mean of theirs."""
    n = min(estimate.n for estimate in estimates)
    if reason := next((one.reason for one in estimates if math.isnan(one.value)), ""):
        return undefined(name, n, reason)
    value = math.fsum(estimate.value for estimate in estimates) / len(estimates)
    half = math.fsum(_half(estimate) for estimate in estimates) / len(estimates)
    reason = next((one.reason for one in estimates if one.reason), "")
    return Estimate(name, value, n, value - half, value + half, reason)


def spearman(name: str, x: Sequence[float], y: Sequence[float], *, seed: int = 0) -> Correlation:
    """Return Spearman's rho of two numbers of each model.

    The interval holds the middle 95 % of the values for models drawn with replacement. The
    two-sided p-value is by permutation: over all orders for up to ten models, over 9,999 drawn
    ones otherwise, so that it is never 0. Both depend on ``seed`` alone.

    Returns:
        A estimate in [-1, 1] whose ``n`` is the number of models; undefined with fewer than
        ``FEWEST_MODELS``, or where one side is the same for all.
    """
    n = len(x)
    if n < FEWEST_MODELS:
        reason = f"needs {FEWEST_MODELS} models with both numbers, there are {n}"
        return Correlation(undefined(name, n, reason), math.nan)
    pairs = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    rho = float(_rho(*pairs[:, None])[0])
    if math.isnan(rho):
        return Correlation(undefined(name, n, "one number is the same for all"), math.nan)
    generator = np.random.default_rng(seed)
    drawn = pairs[:, generator.integers(0, n, (_RESAMPLES, n))]
    low, high = np.nanquantile(_rho(*drawn), [0.025, 0.975])
    return Correlation(
        Estimate(name, rho, n, float(low), float(high)), _chance(pairs, abs(rho), generator)
    )


def _chance(pairs: Float64[np.ndarray, "2 n"], rho: float, generator: np.random.Generator) -> float:
    """Return the share of orders that are at least as strongly correlated."""
    x, y = (_standardised_ranks(one) for one in pairs)
    if len(x) <= _MOST_ORDERS:
        strong = [abs(y[orders] @ x) >= rho - _ROUNDING for orders in _all_orders(len(x))]
        return float(np.concatenate(strong).mean())
    drawn = generator.permuted(np.tile(y, (_RESAMPLES, 1)), axis=1)
    return (float((abs(drawn @ x) >= rho - _ROUNDING).sum()) + 1) / (_RESAMPLES + 1)


def _standardised_ranks(one: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return ranks of mean 0 and length 1: the product of two such is their correlation."""
    ranks = rankdata(one)
    centred = ranks - ranks.mean()
    standardised: np.ndarray = centred / np.sqrt((centred**2).sum())
    return standardised


def _all_orders(n: int) -> Iterator[Int[np.ndarray, "m n"]]:
    """Yield all orders of ``n`` things, those with the same thing first together."""
    rest = np.array(list(permutations(range(n - 1))))
    for first in range(n):
        others = rest + (rest >= first)
        yield np.concatenate([np.full((len(rest), 1), first), others], axis=1)


def _rho(x: Float64[np.ndarray, "a n"], y: Float64[np.ndarray, "b n"]) -> Float64[np.ndarray, " r"]:
    """Return the correlation of the ranks, row by row; NaN where one side is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        rho: np.ndarray = spearmanrho(x, y, axis=1).statistic
    return rho


def _half(estimate: Estimate) -> float:
    return estimate.value - estimate.low
