"""What an auditor's draw says holds as often as it says, and nobody can choose the draw."""

from math import comb

import numpy as np
import pytest
from scipy.stats import beta, hypergeom

from clbench.verification.bounds import DRAWN, at_least, at_most, draw, seed_of

TRIALS = 2_000


def trials(of, breakable, drawn, seed=0):
    """Return how many breakable examples ``TRIALS`` draws without replacement hold."""
    return np.random.default_rng(seed).hypergeometric(breakable, of - breakable, drawn, TRIALS)


@pytest.mark.parametrize(("of", "drawn"), [(267, 128), (1_000, 128), (1_000, 299), (10_000, 299)])
def test_the_bound_holds_in_nearly_all_simulated_draws_of_a_false_record(of, drawn):
    breakable = round(0.03 * of)
    seen = trials(of, breakable, drawn).tolist()
    holds = {k: at_most(k, drawn, of) >= breakable for k in set(seen)}
    assert np.mean([holds[k] for k in seen]) >= 0.94


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.1, 0.5])
@pytest.mark.parametrize(("of", "drawn"), [(40, 40), (100, 10), (100, 99), (267, 128), (400, 299)])
def test_both_bounds_hold_with_a_probability_of_95_percent_or_more(of, drawn, share):
    breakable = round(share * of)
    among = hypergeom(of, breakable, drawn)
    above = below = 0.0
    for k in range(max(0, drawn + breakable - of), min(drawn, breakable) + 1):
        above += among.pmf(k) * (at_most(k, drawn, of) >= breakable)
        below += among.pmf(k) * (at_least(k, drawn, of) <= breakable)
    assert min(above, below) >= 0.95 - 1e-9


def test_the_bound_is_that_of_clopper_and_pearson_where_the_draw_is_a_small_part():
    for broken in (0, 1, 9, 40):
        share = at_most(broken, DRAWN, 10_000_000) / 10_000_000
        assert share == pytest.approx(beta.ppf(0.95, broken + 1, DRAWN - broken), rel=1e-3)


def test_the_bound_is_the_largest_number_that_the_draw_does_not_exclude():
    def as_few(broken, drawn, breakable, of):
        ways = sum(comb(breakable, k) * comb(of - breakable, drawn - k) for k in range(broken + 1))
        return ways / comb(of, drawn)

    for of, drawn, broken in [(20, 5, 0), (20, 5, 2), (50, 30, 7), (12, 12, 3), (9, 1, 1)]:
        allowed = [m for m in range(broken, of - drawn + broken + 1)
                   if as_few(broken, drawn, m, of) > 0.05]  # fmt: skip
        assert at_most(broken, drawn, of) == max(allowed)


def test_all_examples_drawn_leave_no_doubt():
    assert [at_most(k, 40, 40) for k in (0, 3, 40)] == [0, 3, 40]
    assert [at_least(k, 40, 40) for k in (0, 3, 40)] == [0, 3, 40]


def test_299_examples_find_a_share_of_one_in_a_hundred():
    missed = trials(100_000, 1_000, DRAWN) == 0
    assert missed.mean() < 0.07
    assert at_most(0, DRAWN, 100_000) <= 1_000


def test_every_example_is_drawn_about_as_often():
    index = list(range(60))
    counts = np.zeros(60)
    for trial in range(TRIALS):
        counts[draw("digest", str(trial), index, 15)] += 1
    expected = TRIALS / 4
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected * 3 / 4)


def test_a_draw_depends_on_the_evidence_and_on_the_nonce():
    index = list(range(100))
    assert draw("a", "n", index, 10) == draw("a", "n", index, 10)
    assert draw("a", "n", index, 10) == draw("a", "n", index[::-1], 10)
    assert draw("a", "n", index, 10) != draw("b", "n", index, 10)
    assert draw("a", "n", index, 10) != draw("a", "m", index, 10)
    assert seed_of("a", "n") != seed_of("a", "m") != seed_of("b", "m")
    assert draw("a", "n", index, 500) == index
