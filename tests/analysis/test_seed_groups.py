"""Several trainings of one recipe: their mean, and what it is uncertain by."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from clbench.analysis.seed_groups import difference_of_groups, mean_over_seeds, spread
from clbench.schema.estimate import paired_difference, proportion


def alike(accuracies, n=400):
    """Return seeds that are right on the first images, as many as their accuracy says."""
    return np.arange(n) < np.rint(np.array(accuracies)[:, None] * n)


def random(seeds, n, share=0.6, seed=0):
    return np.random.default_rng(seed).random((seeds, n)) < share


@pytest.mark.parametrize(("count", "n"), [(0, 40), (1, 40), (25, 40), (40, 40), (198, 360)])
def test_one_seed_has_wilsons_interval(count, n):
    assert mean_over_seeds("a", np.arange(n)[None] < count) == proportion("a", count, n)


@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 30, 59, 60])
def test_the_same_network_again_and_again_is_no_more_than_one(seeds, count):
    found = mean_over_seeds("a", np.tile(np.arange(60) < count, (seeds, 1)))
    once = proportion("a", count, 60)
    assert (found.value, found.n) == (once.value, once.n)
    assert (found.low, found.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_seeds_that_differ_by_far_have_students_interval(seeds):
    # so many images that they add nothing
    accuracies = np.linspace(0.4, 0.6, seeds)
    found = mean_over_seeds("a", alike(accuracies, n=200_000))
    half = t.ppf(0.975, seeds - 1) * accuracies.std(ddof=1) / math.sqrt(seeds)
    scale = half**2 / 0.25  # the same, bent as Wilson's is
    bent = math.sqrt(0.25 * scale + scale**2 / 4) / (1 + scale)
    assert (found.high - found.low) / 2 == pytest.approx(bent, rel=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_the_variance_of_seeds_is_without_what_examples_make(seeds):
    found = [spread(random(seeds, 500, seed=one)).of_seeds for one in range(400)]
    raw = [random(seeds, 500, seed=one).mean(axis=1).var(ddof=1) for one in range(400)]
    assert min(found) == 0
    assert np.mean(found) < 0.6 * np.mean(raw)


@pytest.mark.parametrize("value", [0.0, 0.01, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("seeds", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_an_interval_stays_inside_and_holds_its_value(value, seeds, n):
    for seed in range(5):
        found = mean_over_seeds("a", random(seeds, n, value, seed))
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 0, 50), (9, 2, 50), (40, 12, 360)])
def test_a_difference_of_one_seed_each_is_near_that_of_two_networks(gained, lost, n):
    one = np.arange(n) < gained
    other = (np.arange(n) >= gained) & (np.arange(n) < gained + lost)
    found = difference_of_groups("a", one[None], other[None]).difference
    pair = paired_difference("a", gained, lost, n)
    assert found.value == pytest.approx(pair.value)
    assert (found.low, found.high) == pytest.approx((pair.low, pair.high), abs=0.02)


def test_a_difference_turns_with_its_sides():
    one, other = random(3, 200, 0.7), random(5, 200, 0.6, seed=1)
    there, back = difference_of_groups("a", one, other), difference_of_groups("a", other, one)
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert there.p_value == pytest.approx(back.p_value)


@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.05, 0.2])
def test_a_p_value_is_below_five_percent_where_the_interval_leaves_zero_out(seeds, gap):
    for seed in range(20):
        one, other = random(seeds, 300, 0.6 + gap, seed), random(seeds, 300, 0.6, seed + 999)
        found = difference_of_groups("a", one, other)
        apart = not found.difference.low <= 0 <= found.difference.high
        assert (found.p_value < 0.05) == apart
        assert 0 <= found.p_value <= 1


def test_a_p_value_is_that_of_a_normal_difference_where_seeds_are_alike():
    one, other = (np.tile(random(1, 2_000, share), (4, 1)) for share in (0.62, 0.6))
    other[:, :500] = False
    found = difference_of_groups("a", one, other)
    gaps = np.append(one[0].astype(float) - other[0], (1.0, -1.0))
    z = found.difference.value / math.sqrt(gaps.var() / len(gaps))
    assert found.p_value == pytest.approx(2 * norm.sf(abs(z)), rel=1e-6, abs=1e-15)
