"""One number that can be trusted: its value, its sample size and its 95 % interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

Z95 = 1.959963984540054
"""The standard normal quantile that leaves 2.5 % in each tail."""


@dataclass(frozen=True)
class Estimate:
    """A named value with its sample size ``n`` and its 95 % interval from ``low`` to ``high``.

    Value and bounds are NaN where the quantity is undefined; ``reason`` then says why.
    """

    name: str
    value: float
    n: int
    low: float
    high: float
    reason: str = ""


def proportion(name: str, count: int, n: int) -> Estimate:
    """Return ``count / n`` with its Wilson score interval.

    Good for any count, 0 and ``n`` included; the interval stays inside [0, 1].

    Source:
        Wilson, 1927, "Probable inference, the law of succession, and statistical inference".

    >>> acc = proportion("clean_acc", 50, 100)
    >>> acc.value, round(acc.low, 4), round(acc.high, 4)
    (0.5, 0.4038, 0.5962)
    """
    share, z2 = count / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    # at 0 and n one bound equals the share exactly; rounding must not push it past
    return Estimate(name, share, n, min(share, centre - half), max(share, centre + half))


def paired_difference(name: str, gained: int, lost: int, n: int) -> Estimate:
    """Return ``(gained - lost) / n`` with its interval: two proportions over the same examples.

    Args:
        name: Of the measure.
        gained: Examples that only the second of the two gets right.
        lost: Examples that only the first gets right.
        n: All examples.

    The interval holds the differences that a score test does not refuse, as Wilson's does for one
    proportion: it is honest also where the two differ on a handful of examples, or on none.

    Source:
        Tango, 1998, "Equivalence test and confidence interval for the difference in proportions for
        the paired-sample design".

    >>> gain = paired_difference("gain", gained=30, lost=10, n=100)
    >>> gain.value, round(gain.low, 3), round(gain.high, 3)
    (0.2, 0.079, 0.317)
    """
    value = (gained - lost) / n
    high = _farthest(gained, lost, n)
    return Estimate(name, value, n, -_farthest(lost, gained, n), high)


def _farthest(gained: int, lost: int, n: int) -> float:
    """Return the largest difference that Tango's score test does not refuse, by bisection."""
    near, far = (gained - lost) / n, 1.0
    while near < (middle := (near + far) / 2) < far:
        if _score(middle, gained, lost, n) < Z95:
            near = middle
        else:
            far = middle
    return near


def _score(difference: float, gained: int, lost: int, n: int) -> float:
    """Return by how many standard errors ``difference`` lies above the observed one.

    The error is the one where the true difference is ``difference``, and the share of examples
    that only the first gets right is the likeliest one beside it.
    """
    half = (2 * n - gained + lost) * difference - gained - lost
    last = -lost * difference * (1 - difference)
    only_first = (math.sqrt(max(half**2 - 8 * n * last, 0.0)) - half) / (4 * n)
    variance = n * (2 * only_first + difference * (1 - difference))
    return (n * difference - gained + lost) / math.sqrt(variance) if variance > 0 else math.inf


def mean_of(name: str, values: Sequence[float], value_range: tuple[float, float]) -> Estimate:
    """Return the mean of independent values with its normal 95 % interval.

    Where all are equal, and their spread tells nothing, the interval is Wilson's of as many that
    are all right or all wrong, as far as the range goes.

    >>> found = mean_of("acc", [0.0, 1.0] * 50, (0.0, 1.0))
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.5, 0.402, 0.598)
    """
    n, (least, most) = len(values), value_range
    mean = math.fsum(values) / n
    spread = math.fsum((one - mean) ** 2 for one in values)
    half = Z95 * math.sqrt(spread / max(1, n - 1) / n)
    if not spread:
        half = (most - least) * (1 - proportion(name, n, n).low)
    return within(value_range, Estimate(name, mean, n, mean - half, mean + half))


def t95(groups: int) -> float:
    """Return the quantile of Student's t that goes with the spread of so many groups.

    With 5 groups it is 2.78: the normal 1.96 would cover in 87 of 100 only.

    >>> round(t95(5), 2), round(t95(1000), 2)
    (2.78, 1.96)
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - files are read without it

    return float(stdtrit(groups - 1, 0.975))


def jackknife(name: str, value: float, leave_one_out: Sequence[float], n: int) -> Estimate:
    """Return ``value`` with Student's 95 % interval of its jackknife standard error.

    Args:
        name: What is measured.
        value: The estimate from all groups.
        leave_one_out: The estimate without each group in turn.
        n: Number of examples in all groups together.

    Source:
        Efron and Stein, 1981, "The jackknife estimate of variance".
    """
    groups = len(leave_one_out)
    if groups < 2:  # noqa: PLR2004 - one group says nothing about spread
        return Estimate(name, value, n, math.nan, math.nan, "one group: no interval")
    mean = math.fsum(leave_one_out) / groups
    spread = math.fsum((one - mean) ** 2 for one in leave_one_out)
    half = t95(groups) * math.sqrt((groups - 1) / groups * spread)
    return Estimate(name, value, n, value - half, value + half)


def within(value_range: tuple[float, float], found: Estimate) -> Estimate:
    """Return an estimate whose interval ends where the range of the quantity does.

    It reaches to a value outside of the range, as an estimate without bias may be.

    >>> wide = Estimate("cka", 0.98, 64, 0.93, 1.03)
    >>> within((0.0, 1.0), wide).high
    1.0
    """
    least, most = min(found.value, *value_range), max(found.value, *value_range)
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def undefined(name: str, n: int, reason: str) -> Estimate:
    """Return a measure without a value, and the reason for it."""
    return Estimate(name, math.nan, n, math.nan, math.nan, reason)
