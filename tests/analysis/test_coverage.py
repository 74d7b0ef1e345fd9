"""Intervals and rank bands hold the truth as often as they say, in simulated evaluations."""

import pytest

from benchmarks.interval_coverage import RESULTS, SETTINGS, coverage

FEW = [one for one in SETTINGS if "10,000" not in one.what][::3]
TOLD = {
    tuple(cell.strip() for cell in line.split("|")[1:3]): float(line.split("|")[3])
    for line in RESULTS.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| what")
}


@pytest.mark.parametrize("number", range(len(FEW)), ids=lambda number: FEW[number].what)
def test_the_truth_is_held(number):
    found = coverage(FEW[number], 300, seed=number)
    assert found > 0.9
    assert FEW[number].kind == "rank bands" or found < 0.995


def test_every_setting_was_simulated_at_length():
    assert list(TOLD) == [(one.kind, one.what) for one in SETTINGS]
    assert RESULTS.read_text(encoding="utf-8").startswith("4,000 trials each.")


@pytest.mark.parametrize(
    ("kind", "most"),
    [("accuracy", 97), ("paired difference", 97), ("seeds", 97), ("recipes", 98.5)],
)
def test_intervals_cover_neither_less_nor_much_more_than_they_say(kind, most):
    found = [share for (of, _), share in TOLD.items() if of == kind]
    assert len(found) >= 12
    assert 93.5 <= min(found) <= max(found) <= most


def test_rank_bands_hold_all_ranks_at_once():
    found = [share for (of, _), share in TOLD.items() if of == "rank bands"]
    assert len(found) == 5
    assert min(found) >= 95
