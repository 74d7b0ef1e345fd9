import math

import pytest
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binom, binomtest, t

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


PAIRS = [
    *((0, 0, 1), (1, 0, 1), (0, 0, 50), (50, 0, 50), (0, 50, 50), (25, 25, 50), (1, 0, 360)),
    *((0, 3, 360), (9, 2, 50), (30, 10, 100), (6, 0, 360), (171, 0, 512), (5_000, 100, 10_000)),
]


def restricted(difference, gained, lost, n):
    """Return the likeliest share of examples that only the first gets right, by search."""

    def unlikely(only_first):
        shares = only_first + difference, only_first, 1 - 2 * only_first - difference
        return -sum(
            float(xlogy(count, share))
            for count, share in zip((gained, lost, n - gained - lost), shares, strict=True)
        )

    least, most = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(unlikely, bounds=(least, most), method="bounded")
    return min((found.x, least, most), key=unlikely)


@pytest.mark.parametrize(("gained", "lost", "n"), PAIRS)
def test_the_bounds_of_a_paired_difference_solve_tangos_equation(gained, lost, n):
    found = paired_difference("gain", gained, lost, n)
    assert -1 <= found.low <= found.value <= found.high <= 1
    for bound in {found.low, found.high} - {-1.0, 1.0}:
        only_first = restricted(bound, gained, lost, n)
        error = math.sqrt((2 * only_first + bound - bound**2) / n)
        assert abs(found.value - bound) / error == pytest.approx(1.959964, rel=1e-3)


@pytest.mark.parametrize(
    ("n", "up", "down"),
    [
        *((60, 0.2, 0.1), (60, 0.05, 0.05), (60, 0.3, 0.02), (60, 0.3, 0.3), (60, 0.6, 0.01)),
        *((120, 0.05, 0.05), (120, 0.02, 0.02), (120, 0.2, 0.05), (120, 0.1, 0.01)),
        *((200, 0.02, 0.02), (200, 0.05, 0.01), (200, 0.1, 0.1)),
    ],
)
def test_the_interval_of_a_paired_difference_covers_95_percent(n, up, down):
    covered = 0.0
    for apart in range(n + 1):
        shares = binom.pmf(range(apart + 1), apart, up / (up + down))
        for gained, share in enumerate(shares * binom.pmf(apart, n, up + down)):
            if share < 1e-6:
                continue
            found = paired_difference("gain", gained, apart - gained, n)
            if found.low <= up - down <= found.high:
                covered += share
    assert 0.935 < covered < 0.97


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
    assert measure.high - mean == pytest.approx(t.ppf(0.975, n - 1) * standard_error)
    assert mean - measure.low == pytest.approx(t.ppf(0.975, n - 1) * standard_error)


def test_one_group_gives_a_value_without_interval():
    measure = jackknife("mean", 0.5, [0.5], 10)
    assert measure.value == 0.5
    assert math.isnan(measure.low)
    assert measure.reason == "one group: no interval"


def test_an_undefined_measure_says_why():
    measure = undefined("cka_pool", 3, "fewer than 4 examples")
    assert math.isnan(measure.value)
    assert measure.reason == "fewer than 4 examples"
