import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from clbench.analysis.statistics import independent_difference, jackknife_difference, mean_of
from clbench.analysis.statistics import spearman as spearman_of_floats
from clbench.probes.similarity.summaries import long_range_mean, whole_mean
from clbench.schema.estimate import Estimate, undefined


def spearman(name, x, y, **options):
    return spearman_of_floats(name, [float(one) for one in x], [float(one) for one in y], **options)


def test_rho_is_scipys():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 12)).round(1)  # rounded, so that there are ties
    found = spearman("rho", x.tolist(), y.tolist())
    assert found.estimate.value == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.estimate.n == 12


def test_the_p_value_of_few_models_is_exact():
    # of 24 orders, the two monotone ones are as strong
    assert spearman("rho", [1, 2, 3, 4], [5, 6, 7, 8]).p_value == pytest.approx(2 / 24)


def test_the_p_value_of_many_models_is_near_scipys_and_never_zero():
    x = list(range(11))
    y = [0, 2, 1, 4, 3, 9, 5, 6, 8, 7, 10]
    assert spearman("rho", x, y).p_value < 0.01
    assert spearman("rho", x, x).p_value == pytest.approx(1 / 10_000)
    noise = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 10]
    expected = spearmanr(x, noise).pvalue
    assert spearman("rho", x, noise).p_value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("n", [8, 9, 10])
def test_the_p_value_of_up_to_ten_models_is_exact(n):
    x = list(range(n))
    only_this_order_and_the_reverse = 2 / math.factorial(n)
    assert spearman("rho", x, x).p_value == pytest.approx(only_this_order_and_the_reverse)


def test_the_same_seed_gives_the_same_interval_and_p_value():
    x, y = [1, 5, 2, 8, 3, 9, 4, 7, 6, 10, 0], [2, 4, 3, 9, 1, 8, 5, 6, 7, 10, 11]
    assert spearman("rho", x, y, seed=3) == spearman("rho", x, y, seed=3)
    assert spearman("rho", x, y, seed=3).p_value != spearman("rho", x, y, seed=4).p_value


def test_rho_of_three_models_is_undefined_and_says_why():
    found = spearman("rho", [1, 2, 3], [1, 2, 3])
    assert math.isnan(found.estimate.value)
    assert math.isnan(found.p_value)
    assert found.estimate.reason == "needs 4 models with both numbers, there are 3"


def test_rho_with_equal_numbers_is_undefined():
    assert spearman("rho", [1, 1, 1, 1], [1, 2, 3, 4]).estimate.reason == (
        "one number is the same for all"
    )


def test_what_images_do_to_both_matrices_is_no_uncertainty_of_their_difference(make_block):
    noisy = make_block(0.8, noise=0.1), make_block(0.5, noise=0.1)
    found = jackknife_difference("cka", *noisy, whole_mean)
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.3, 0.3))
    apart = independent_difference(
        "cka", *(similarity.estimate("cka", whole_mean) for similarity in noisy)
    )
    assert apart.value == pytest.approx(0.3)
    assert apart.high - apart.low > 0.3


def test_a_paired_interval_is_that_of_the_differences(make_block):
    steady, noisy = make_block(0.5), make_block(0.8, noise=0.1)
    found = jackknife_difference("cka", noisy, steady, whole_mean)
    alone = noisy.estimate("cka", whole_mean)
    assert found.high - found.low == pytest.approx(alone.high - alone.low)


def test_separate_half_widths_add_up_as_squares():
    found = independent_difference(
        "cka", Estimate("a", 0.9, 50, 0.6, 1.2), Estimate("b", 0.5, 40, 0.1, 0.9)
    )
    assert (found.value, found.low, found.high) == pytest.approx((0.4, -0.1, 0.9))
    assert found.n == 40


def test_an_undefined_side_makes_a_difference_undefined(make_block):
    flat = undefined("a", 50, "features do not vary")
    assert independent_difference("cka", flat, flat).reason == "features do not vary"
    assert mean_of("cka", [flat]).reason == "features do not vary"
    similarity = make_block(0.5)
    assert (
        "no layer in common"
        in jackknife_difference("cka", similarity, similarity.take([]), whole_mean).reason
    )
    single = similarity.take(["pool"])
    assert (
        "distance must be below 1"
        in jackknife_difference("cka", single, single, long_range_mean).reason
    )


def test_a_mean_of_measures_is_as_uncertain_as_they_are():
    found = mean_of("end", [Estimate("a", 0.8, 50, 0.7, 0.9), Estimate("b", 0.6, 50, 0.3, 0.9)])
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.5, 0.9))
