"""Every estimator against its slow definition, and the laws that all of them obey."""

import math

import numpy as np
import pytest
import torch

from clbench.probes.similarity import estimators
from clbench.probes.similarity.estimators import ESTIMATORS
from clbench.probes.similarity.full_set import shifted
from clbench.probes.similarity.measures import CKA

MINIBATCH, FULL, BIASED = (name for name, row in ESTIMATORS.items() if row.applies(CKA))
every_estimator = pytest.mark.parametrize("estimator", [MINIBATCH, FULL, BIASED])
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@every_type
@pytest.mark.parametrize("shift", [0, 2])
def test_minibatch_cka_and_its_interval_equal_their_definitions(
    slow, cka_of, related, seen_together, dtype, shift
):
    x, y = related(230, 500, dtype)
    x += shift
    batches = [(x[piece].numpy(), y[piece].numpy()) for piece in seen_together(230)]
    found = cka_of(x, y)
    assert found.n == 230
    assert found.value == pytest.approx(slow.minibatch_cka(batches), abs=1e-10)
    assert (found.low, found.high) == pytest.approx(slow.jackknife_interval(batches), abs=1e-10)


def by_definition(slow, estimator):
    """CKA of two arrays as the reference computes it from all examples at once."""
    if estimator == BIASED:
        return lambda x, y: slow.biased_cka(x.astype(np.float64), y.astype(np.float64))
    return lambda x, y: slow.minibatch_cka([(x, y)])


@every_type
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("estimator", [FULL, BIASED])
@pytest.mark.parametrize("held_bytes", [1, 10_000, 2**30])
def test_full_set_cka_and_its_interval_equal_their_definitions(
    slow, cka_of, related, seen_together, monkeypatch, dtype, shift, estimator, held_bytes
):
    monkeypatch.setattr(estimators, "HELD_BYTES", held_bytes)
    x, y = related(110, 20, dtype)
    x += shift
    found = cka_of(x, y, size=10, estimator=estimator)
    cka = by_definition(slow, estimator)
    groups = np.zeros(110)
    for b, piece in enumerate(seen_together(110, 10)):
        groups[piece] = b * 10 // 11
    interval = slow.full_set_interval(x.numpy(), y.numpy(), groups, cka)
    assert found.n == 110
    assert found.value == pytest.approx(cka(x.numpy(), y.numpy()), abs=1e-10)
    assert (found.low, found.high) == pytest.approx(interval, abs=1e-10)


def test_the_full_set_may_be_large(slow, cka_of, related):
    x, y = related(3000, dtype=torch.float32)
    found = cka_of(x, y, size=500, estimator=FULL)
    expected = slow.full_set_cka(x.double().numpy(), y.double().numpy())
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_one_minibatch_is_the_full_set(cka_of, related):
    x, y = related(15)
    assert cka_of(x, y).value == pytest.approx(cka_of(x, y, estimator=FULL).value, abs=1e-12)


@every_estimator
@every_type
def test_a_representation_is_wholly_like_itself(cka_of, estimator, dtype):
    x = torch.randn(100, 1000, dtype=dtype)
    found = cka_of(x, x, estimator=estimator)
    assert (found.low, found.value, found.high) == pytest.approx((1, 1, 1), abs=1e-9)


@every_estimator
def test_rotation_scale_and_shift_change_nothing(cka_of, related, estimator):
    x, y = related(100)
    rotation, _ = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64))
    moved = 1e-3 * (x @ rotation) + 5 * torch.randn(40, dtype=torch.float64)
    expected = cka_of(x, y, estimator=estimator)
    for found in (cka_of(moved, y, estimator=estimator), cka_of(y, x, estimator=estimator)):
        assert found.value == pytest.approx(expected.value, abs=1e-10)
        assert found.high == pytest.approx(expected.high, abs=1e-10)


@pytest.mark.parametrize("estimator", [FULL, BIASED])
def test_the_order_of_the_examples_changes_nothing(cka_of, related, estimator):
    x, y = related(160)
    backwards = torch.arange(159, -1, -1)
    expected = cka_of(x, y, estimator=estimator).value
    assert cka_of(x[backwards], y[backwards], estimator=estimator).value == pytest.approx(
        expected, abs=1e-12
    )


@every_estimator
def test_examples_sorted_by_what_they_are_do_not_fill_a_minibatch(cka_of, estimator):
    """In the order of the file each minibatch would be one cluster, within which nothing agrees."""
    places = torch.randn(5, 8, dtype=torch.float64).repeat_interleave(64, 0)
    x, y = (places + 0.3 * torch.randn(320, 8, dtype=torch.float64) for _ in "xy")
    found = cka_of(x, y, estimator=estimator)
    assert found.value > 0.9
    assert found.low > 0.8


def test_the_seed_shuffles_the_minibatches(cka_of, related):
    x, y = related(160)
    one, same, other = (cka_of(x, y, seed=seed).value for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert one == pytest.approx(other, abs=0.05)


@every_estimator
def test_both_sides_must_be_in_the_same_order(cka_of, related, estimator):
    x, y = related(256)
    assert cka_of(x, y, estimator=estimator).value > 0.5
    assert abs(cka_of(x, y[torch.randperm(256)], estimator=estimator).value) < 0.25


def test_independent_noise_is_near_0_unless_the_estimate_is_biased(slow, cka_of):
    values = {estimator: [] for estimator in (MINIBATCH, FULL, BIASED)}
    for _ in range(20):
        x, y = torch.randn(64, 2048), torch.randn(64, 2048)
        for estimator, found in values.items():
            found.append(cka_of(x, y, estimator=estimator).value)
    for estimator in (MINIBATCH, FULL):
        assert max(map(abs, values[estimator])) < 0.2
        assert abs(sum(values[estimator]) / 20) < 0.03
    assert min(values[BIASED]) > 0.95
    assert slow.biased_cka(x.numpy(), y.numpy()) == pytest.approx(0.967, abs=0.01)


@every_estimator
@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_than_four_examples_have_no_cka(cka_of, estimator, n):
    x = torch.rand(n, 5)
    found = cka_of(x, x, estimator=estimator)
    assert math.isnan(found.value)
    assert found.reason == "fewer than 4 examples"


CONSTANT = {
    "zero": torch.zeros(64, 40),
    "the same everywhere": torch.full((64, 40), 0.1),
    "one row for all": torch.linspace(-3, 1e6, 40).expand(64, 40),
    "rounding": 0.1 * (1 + 1e-7 * torch.rand(64, 40)),
}
BUT_FOR_ONE = torch.cat([torch.ones(1, 40), torch.zeros(63, 40)])


@every_estimator
@pytest.mark.parametrize("case", CONSTANT)
def test_features_that_do_not_vary_have_no_cka(cka_of, estimator, case):
    x, y = CONSTANT[case], torch.rand(64, 9)
    for found in (cka_of(x, y, estimator=estimator), cka_of(y, x, estimator=estimator)):
        assert math.isnan(found.value)
        assert found.reason == "features do not vary"


@pytest.mark.parametrize("estimator", [MINIBATCH, FULL])
@pytest.mark.parametrize("place", [0, 5])
def test_what_varies_in_one_example_only_has_no_debiased_cka(cka_of, estimator, place):
    found = cka_of(BUT_FOR_ONE.roll(place, 0), torch.rand(64, 9), estimator=estimator)
    assert found.reason == "features do not vary"


@every_estimator
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_features_that_are_no_numbers_have_no_cka(cka_of, related, estimator, wrong):
    x, y = related(dtype=torch.float32)
    x[:, 3] = wrong
    found = cka_of(x, y, estimator=estimator)
    assert math.isnan(found.value)
    assert found.reason == "features are not finite"


@every_estimator
def test_small_variation_on_a_large_constant_counts(cka_of, estimator):
    x = torch.rand(64, 40)
    assert cka_of(x, x + 100, estimator=estimator).value == pytest.approx(1, abs=1e-4)


def test_a_minibatch_in_which_one_side_does_not_vary_still_counts_for_the_other(
    slow, cka_of, seen_together
):
    x, y = torch.randn(80, 9, dtype=torch.float64), torch.randn(80, 9, dtype=torch.float64)
    x[seen_together(80, 16)[0]] = 1
    batches = [(x[piece].numpy(), y[piece].numpy()) for piece in seen_together(80, 16)]
    assert cka_of(x, y, size=16).value == pytest.approx(slow.minibatch_cka(batches), abs=1e-12)


def test_a_minibatch_that_everything_hangs_on_leaves_no_interval(cka_of, related, seen_together):
    x, y = related(16)
    x[seen_together(16, 8)[1]] = 1
    found = cka_of(x, y, size=8)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason == "undefined without one of the minibatches: no interval"


def test_what_differs_by_rounding_only_does_not_differ():
    x = torch.tensor([[1.0, 5.0], [1.0 + 1e-7, 6.0]])
    assert shifted(x, x[:1]).tolist() == [[0, 0], [0, 1]]


def cka_of_the_population(weights, noise):
    """The CKA of x and x W + noise e for infinitely many examples of normal x and e."""
    covariance = weights.T @ weights + noise**2 * torch.eye(weights.shape[1])
    return float(weights.square().sum() / (len(weights) ** 0.5 * covariance.norm()))


@pytest.mark.parametrize("estimator", [MINIBATCH, FULL])
def test_the_value_is_unbiased_and_its_interval_covers_that_of_infinitely_many_examples(
    cka_of, estimator
):
    weights = torch.randn(40, 30, dtype=torch.float64)
    truth = cka_of_the_population(weights, noise=4)
    measures = []
    for _ in range(50):
        x = torch.randn(320, 40, dtype=torch.float64)
        noise = torch.randn(320, 30, dtype=torch.float64)
        measures.append(cka_of(x, x @ weights + 4 * noise, size=32, estimator=estimator))
    mean = sum(measure.value for measure in measures) / 50
    assert mean == pytest.approx(truth, abs=0.01)
    assert sum(measure.low <= truth <= measure.high for measure in measures) >= 42
