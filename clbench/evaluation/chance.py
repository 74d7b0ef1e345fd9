"""Is a clean accuracy about what guessing gives? Told from counts; few images stay silent."""

import math

from jaxtyping import Int
from torch import Tensor

_HONEST = 0.25
"""A clean accuracy that nearly any trained classifier has."""

_MOST_CLASSES_GUESSED = 10
"""Labels may show a few of the classes that a network guesses among; this many at least count."""

_FEWEST = 14
"""Of fewer images, even none right says little."""

_UNTRAINED, _UNTRAINED_BY = 1.5, 0.05
"""Networks without training are right more often than guesses, by a factor, or so much at most."""

_SIGNIFICANCE, _CONFIDENCE = 0.05, 0.02


def is_at_chance(predicted: Int[Tensor, " n"], labels: Int[Tensor, " n"], n_outputs: int) -> bool:
    """Say whether predictions are no better than guesses, where there are enough to tell.

    Two questions have to be answered yes. Can a network without training have so many right, which
    is somewhat better than guessing? (The binomial tail above them is over 5 %.) And can no trained
    classifier have so few? (The tail below them is under 2 % for an accuracy of a quarter, or well
    above chance with few classes.) Fewer than 14 images never raise the flag, and networks that are
    right at a quarter of their images hardly ever do.

    Args:
        predicted: The class of each image; any number outside of the classes is wrong.
        labels: What is right.
        n_outputs: Among how many classes the network chooses.
    """
    n, right = len(labels), int((predicted == labels).sum())
    if n < _FEWEST:
        return False
    shown = min(len(set(labels.tolist())), n_outputs)
    chance = max(1 / n_outputs, 1 / max(shown, _MOST_CLASSES_GUESSED))
    honest = max(_HONEST, chance + 0.1 * (1 - chance))
    untrained = min(_UNTRAINED * chance, chance + _UNTRAINED_BY)
    guessed = 1 - _at_most(right - 1, n, untrained) > _SIGNIFICANCE
    return guessed and _at_most(right, n, honest) < _CONFIDENCE


def _at_most(k: int, n: int, p: float) -> float:
    """Return how likely at most ``k`` of ``n`` draws succeed, each with probability ``p``.

    >>> round(_at_most(1, 2, 0.5), 6)
    0.75
    """
    if p >= 1:
        return float(k >= n)
    logs = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    )  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))
