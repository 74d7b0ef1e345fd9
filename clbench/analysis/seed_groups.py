"""Several trainings of one recipe, with other seeds, on the same examples."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtri, stdtrit

from clbench.schema.estimate import Estimate, proportion

_CHANCE = 0.05


class Spread(NamedTuple):
    """Where the uncertainty of a mean over seeds comes from.

    ``of_seeds`` is the variance of an accuracy from seed to seed, beyond what finitely many
    examples make of it; ``by_example`` is the mean of each example over the seeds.
    """

    n_seeds: int
    of_seeds: float
    by_example: Float64[np.ndarray, " n"]

    def squared_margin(self, chance: float) -> float:
        """Return the part of the seeds in the square of the half-width of an interval."""
        if self.n_seeds == 1:
            return 0.0  # unknown, and said so by the number of seeds
        quantile = float(stdtrit(self.n_seeds - 1, 1 - chance / 2))
        return quantile**2 * self.of_seeds / self.n_seeds


def spread(correct: Bool[np.ndarray, "seeds n"]) -> Spread:
    """Return where the uncertainty of a mean over seeds and examples comes from.

    The variance from seed to seed is that of a crossed design: what it would be without the
    examples on which seeds differ at random is taken off, down to 0.
    """
    n_seeds, n = correct.shape
    by_example = correct.mean(axis=0)
    if n_seeds == 1 or n == 1:
        return Spread(n_seeds, 0.0, by_example)
    between = float(correct.mean(axis=1).var(ddof=1))
    within = float((by_example * (1 - by_example)).mean()) * n_seeds / (n_seeds - 1)
    return Spread(n_seeds, max(0.0, between - (within - between) / (n - 1)), by_example)


def mean_over_seeds(name: str, correct: Bool[np.ndarray, "seeds n"]) -> Estimate:
    """Return the mean accuracy of a recipe, with an interval for other seeds *and* other examples.

    Its margins for the two are added in squares: Student's for the seeds, since there are few, and
    the normal one for the examples, on which all seeds err alike. As Wilson's interval, it stays
    inside [0, 1]; with one seed it is Wilson's, and speaks of other examples only.

    Source:
        Korn and Graubard, 1998, "Confidence intervals for proportions with small expected number of
        positive counts estimated from survey data", for an interval at an effective sample size.

    >>> two = np.array([[True, True, False, True], [True, False, False, True]])
    >>> found = mean_over_seeds("robust_acc", two)
    >>> found.value, found.n
    (0.625, 4)
    """
    n_seeds, n = correct.shape
    value = float(correct.mean())
    if n_seeds == 1 or value in {0.0, 1.0}:
        return proportion(name, round(value * n), n)
    found = spread(correct)
    examples = float(ndtri(1 - _CHANCE / 2)) ** 2 * float(found.by_example.var()) / n
    # what Wilson's interval has z * z / n for
    scale = (found.squared_margin(_CHANCE) + examples) / (value * (1 - value))
    centre = (value + scale / 2) / (1 + scale)
    half = math.sqrt(value * (1 - value) * scale + scale**2 / 4) / (1 + scale)
    return Estimate(name, value, n, centre - half, centre + half)


class GroupDifference(NamedTuple):
    """One recipe less another one, and how often chance alone makes such a difference."""

    difference: Estimate
    p_value: float


def difference_of_groups(
    name: str, one: Bool[np.ndarray, "seeds n"], other: Bool[np.ndarray, "others n"]
) -> GroupDifference:
    """Return the mean accuracy of one recipe less that of another one, on the same examples.

    Interval and p-value count both the seeds of each and the examples, which are paired. One
    example that only the one gets right and one that only the other does are added, as Bonett and
    Price do, so that an interval always has a width.
    """
    sides = spread(one), spread(other)
    apart = sides[0].by_example - sides[1].by_example
    value, n = float(apart.mean()), len(apart)
    variance = float(np.append(apart, (1.0, -1.0)).var()) / (n + 2)

    def margin(chance: float) -> float:
        seeds = sum(side.squared_margin(chance) for side in sides)
        return math.sqrt(float(ndtri(1 - chance / 2)) ** 2 * variance + seeds)

    half = margin(_CHANCE)
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return GroupDifference(Estimate(name, value, n, low, high), _chance_of(abs(value), margin))


def _chance_of(size: float, margin: Callable[[float], float]) -> float:
    """Return the chance at which a margin is as large as a difference, by bisection."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if margin(middle) > size:
            low = middle
        else:
            high = middle
    return high
