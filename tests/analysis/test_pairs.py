"""Which of two networks is better, and which ranks many may have."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from clbench.analysis.pairs import discordant, exact_mcnemar, holm, rank_bands

COUNTS = [
    *((0, 0), (1, 0), (5, 0), (6, 0), (0, 6), (3, 3), (7, 2), (10, 30)),
    *((1, 400), (500, 500), (520, 480), (2_600, 2_400), (9_999, 1)),
]


@pytest.mark.parametrize(("gained", "lost"), COUNTS)
def test_mcnemars_test_is_the_exact_test_of_a_fair_coin(gained, lost):
    (found,) = exact_mcnemar(np.array([gained]), np.array([lost]))
    n = gained + lost
    assert found == pytest.approx(binomtest(gained, n).pvalue if n else 1.0, rel=1e-9)


@pytest.mark.parametrize("n", range(6))
def test_fewer_than_six_discordant_examples_never_tell_two_apart(n):
    assert exact_mcnemar(np.array([n]), np.array([0]))[0] > 0.05


@pytest.mark.parametrize("n", range(1, 60, 7))
def test_mcnemars_test_is_wrong_at_most_as_often_as_it_says(n):
    gained = np.arange(n + 1)
    p = exact_mcnemar(gained, n - gained)
    chance = binom.pmf(gained, n, 0.5)
    for level in (0.001, 0.01, 0.05, 0.2):
        assert chance[p <= level].sum() <= level


def stepwise(p_values, level):
    """Return what Holm's procedure rejects, step by step as it is defined."""
    rejected = set()
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for step, one in enumerate(order):
        if p_values[one] > level / (len(p_values) - step):
            break
        rejected.add(one)
    return rejected


@pytest.mark.parametrize("m", [0, 1, 2, 5, 45])
def test_holms_p_values_reject_what_his_procedure_does(m):
    generator = np.random.default_rng(m)
    for _ in range(50):
        p = (generator.random(m) ** 3).tolist()
        adjusted = holm(p)
        assert (adjusted >= p).all()
        assert (adjusted <= 1).all()
        for level in (0.01, 0.05, 0.3):
            assert set(np.flatnonzero(adjusted <= level).tolist()) == stepwise(p, level)


def test_discordant_examples_are_counted_for_each_two():
    right = np.random.default_rng(0).random((4, 300)) < 0.6
    counts = discordant(right)
    for i in range(4):
        for j in range(4):
            assert counts[i, j] == (right[i] & ~right[j]).sum()


def bands(accuracy, p_values):
    return [tuple(one) for one in rank_bands(np.array(accuracy), np.array(p_values, dtype=float))]


BANDS = {
    "one alone": ([0.5], [[1]], [(1, 1)]),
    "two apart": ([0.7, 0.5], [[1, 0.01], [0.01, 1]], [(1, 1), (2, 2)]),
    "two apart, the worse first": ([0.5, 0.7], [[1, 0.01], [0.01, 1]], [(2, 2), (1, 1)]),
    "two alike": ([0.7, 0.5], [[1, 0.2], [0.2, 1]], [(1, 2), (1, 2)]),
    "just enough": ([0.7, 0.5], [[1, 0.05], [0.05, 1]], [(1, 1), (2, 2)]),
    "enough alone, not among three": (
        [0.7, 0.6, 0.5],
        [[1, 0.9, 0.02], [0.9, 1, 0.9], [0.02, 0.9, 1]],
        [(1, 3), (1, 3), (1, 3)],
    ),
    "neighbours alike, the ends apart": (
        [0.7, 0.6, 0.5],
        [[1, 0.9, 0.01], [0.9, 1, 0.9], [0.01, 0.9, 1]],
        [(1, 2), (1, 3), (2, 3)],
    ),
    "one far below two": (
        [0.7, 0.1, 0.6],
        [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]],
        [(1, 2), (3, 3), (1, 2)],
    ),
    "equal accuracies are never apart": ([0.5, 0.5], [[1, 1], [1, 1]], [(1, 2), (1, 2)]),
    "only above the diagonal counts": ([0.7, 0.5], [[0, 0.2], [0, 0]], [(1, 2), (1, 2)]),
}


@pytest.mark.parametrize("case", BANDS)
def test_a_band_counts_those_that_are_certainly_better_and_worse(case):
    accuracy, p_values, expected = BANDS[case]
    assert bands(accuracy, p_values) == expected


def test_a_band_holds_the_rank_whatever_the_networks_do():
    generator = np.random.default_rng(1)
    for k in (2, 3, 7, 12):
        ability = generator.random((k, 1)) * generator.choice([0.05, 1.0])
        right = generator.random((k, 200)) < ability
        accuracy, counts = right.mean(axis=1), discordant(right)
        found = rank_bands(accuracy, exact_mcnemar(counts, counts.T))
        ranks = 1 + (accuracy[:, None] > accuracy).sum(axis=0)
        assert all(
            1 <= one.low <= rank <= one.high <= k for one, rank in zip(found, ranks, strict=True)
        )
        order = generator.permutation(k)
        counts = discordant(right[order])
        again = rank_bands(accuracy[order], exact_mcnemar(counts, counts.T))
        assert again == [found[number] for number in order]
