"""Several trainings of one recipe, with other seeds, on the same examples."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtri, stdtrit

from clbench.schema.estimate import Estimate, proportion

_CHANCE = 0.05
"""Of an interval to be wrong."""


class Spread(NamedTuple):
    """Where the uncertainty of a mean over seeds comes from.

    ``of_seeds`` is the variance of an accuracy from seed to seed, beyond what finitely many
    examples make of it; ``by_example`` is the mean of each example over the seeds.
    """

    n_seeds: int
    of_seeds: float
    by_example: Float64[np.ndarray, " n"]

    @property
    def of_mean(self) -> float:
        """The variance that seeds alone give their mean; 0 with one seed, as it is unknown."""
        return self.of_seeds / self.n_seeds


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
    of_one = value * (1 - value)
    # seeds never tell more than as many images of their own would
    of_examples = max(float(found.by_example.var()), of_one / n_seeds) / n
    scale = _margin([found], of_examples, _CHANCE) ** 2 / of_one  # where Wilson has z * z / n
    centre = (value + scale / 2) / (1 + scale)
    half = math.sqrt(of_one * scale + scale**2 / 4) / (1 + scale)
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
    half = _margin(sides, variance, _CHANCE)
    low, high = max(-1.0, value - half), min(1.0, value + half)
    p_value = _chance_of(abs(value), lambda chance: _margin(sides, variance, chance))
    return GroupDifference(Estimate(name, value, n, low, high), p_value)


def _margin(sides: Sequence[Spread], of_examples: float, chance: float) -> float:
    """Return half the width of an interval that is wrong with this chance.

    The margins for other seeds and for other examples are added in squares.

    Args:
        sides: One recipe, or the two of a difference.
        of_examples: The variance that finitely many examples give it.
        chance: Of being wrong.
    """
    examples = float(ndtri(1 - chance / 2)) * math.sqrt(of_examples)
    return math.hypot(examples, _margin_of_seeds(sides, chance))


def _margin_of_seeds(sides: Sequence[Spread], chance: float) -> float:
    """Return the half-width that the seeds of a mean, or of a difference of two, make necessary.

    By Student's quantile, whose degrees of freedom are those of Welch and Satterthwaite.
    """
    variances = [side.of_mean for side in sides]
    whole = math.fsum(variances)
    if whole == 0:
        return 0.0
    each = zip(sides, variances, strict=True)
    unsure = math.fsum(of**2 / (side.n_seeds - 1) for side, of in each if of)
    return float(stdtrit(whole**2 / unsure, 1 - chance / 2)) * math.sqrt(whole)


def _chance_of(size: float, margin: Callable[[float], float]) -> float:
    """Return the chance at which a margin is as large as a difference, by bisection."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if margin(middle) > size:
            low = middle
        else:
            high = middle
    return high
