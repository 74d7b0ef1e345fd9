import math

import pytest
from scipy.stats import binomtest

from clbench.schema.estimate import jackknife, paired_difference, proportion, undefined


@pytest.mark.parametrize(("count", "n"), [(0, 10), (1, 10), (10, 10), (50, 100), (198, 360)])
def test_the_bounds_of_a_proportion_solve_wilsons_equation(count, n):
    acc = proportion("acc", count, n)
    z = 1.959963984540054
    for bound in (acc.low, acc.high):
        # the score test at the bound is exactly at its critical value
        assert abs(acc.value - bound) == pytest.approx(
            z * math.sqrt(bound * (1 - bound) / n), abs=1e-9
        )
    assert 0 <= acc.low <= acc.value <= acc.high <= 1


@pytest.mark.parametrize("n", [1, 2, 7, 360, 10_000])
def test_the_interval_of_a_proportion_is_scipys(n):
    for count in {0, 1, n // 3, n - 1, n}:
        acc, theirs = (
            proportion("acc", count, n),
            binomtest(count, n).proportion_ci(method="wilson"),
        )
        assert (acc.low, acc.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_of_a_proportion_covers_95_percent():
    n, share = 60, 0.3
    covered = 0.0
    for count in range(n + 1):
        acc = proportion("acc", count, n)
        if acc.low <= share <= acc.high:
            covered += math.comb(n, count) * share**count * (1 - share) ** (n - count)
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(("up", "down"), [(0.2, 0.1), (0.05, 0.05), (0.3, 0.02)])
def test_the_interval_of_a_paired_difference_covers_95_percent(up, down):
    n, covered = 60, 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            rest = n - gained - lost
            ways = math.comb(n, gained) * math.comb(n - gained, lost)
            found = paired_difference("gain", gained, lost, n)
            if found.low <= up - down <= found.high:
                covered += ways * up**gained * down**lost * (1 - up - down) ** rest
    assert 0.93 < covered < 0.99


def test_a_paired_difference_changes_its_sign_with_the_sides():
    there, back = paired_difference("a", 9, 2, 50), paired_difference("b", 2, 9, 50)
    assert there.value == -back.value == 0.14
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = [0.1, 0.4, 0.35, 0.8, 0.65]
    n, mean = len(values), sum(values) / len(values)
    left_out = [(sum(values) - value) / (n - 1) for value in values]
    measure = jackknife("mean", mean, left_out, n)
    standard_error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    assert measure.high - mean == pytest.approx(1.959963984540054 * standard_error)
    assert mean - measure.low == pytest.approx(1.959963984540054 * standard_error)


def test_one_group_gives_a_value_without_interval():
    measure = jackknife("mean", 0.5, [0.5], 10)
    assert measure.value == 0.5
    assert math.isnan(measure.low)
    assert measure.reason == "one group: no interval"


def test_an_undefined_measure_says_why():
    measure = undefined("cka_pool", 3, "fewer than 4 examples")
    assert math.isnan(measure.value)
    assert measure.reason == "fewer than 4 examples"
