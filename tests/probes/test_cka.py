import math

import pytest
import torch

from clbench.probes.cka import (
    CkaAccumulator,
    centred_gram,
    cka_from_hsic,
    debiased_hsic,
    linear_cka,
    minibatches,
    summarise,
    sums_without_each,
    u_centred,
)


def features(n=64, d=40, dtype=torch.float64):
    return torch.randn(n, d, dtype=dtype)


def related(n=64, d=40, dtype=torch.float64):
    """Two representations that share part of what they say."""
    x = features(n, d, dtype)
    return x, x @ torch.randn(d, 30, dtype=dtype) + 4 * features(n, 30, dtype)


def accumulate(x, y, size=64):
    whole = CkaAccumulator()
    for piece in minibatches(len(x), size):
        whole.update(x[piece], y[piece])
    return whole


def test_hsic_is_the_average_over_all_quadruples(slow):
    x, y = related(7, 3)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    expected = slow.hsic_by_quadruples(k.numpy(), l.numpy())
    assert float(debiased_hsic(k, l)) == pytest.approx(expected, rel=1e-11)
    assert slow.hsic(k.numpy(), l.numpy()) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("n", [4, 5, 64, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cka_of_one_batch_equals_its_definition(slow, n, dtype):
    x, y = related(n, dtype=dtype)
    expected = slow.minibatch_cka([(x.numpy(), y.numpy())])
    assert linear_cka(x, y) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0, 2])
def test_minibatch_cka_and_its_interval_equal_their_definitions(slow, dtype, shift):
    x, y = related(230, 500, dtype)
    whole = accumulate(x + shift, y)
    batches = [((x + shift)[piece].numpy(), y[piece].numpy()) for piece in minibatches(230, 64)]
    measure = summarise("cka", whole.value(), whole.leave_one_out(), whole.n)
    assert measure.n == 230
    assert measure.value == pytest.approx(slow.minibatch_cka(batches), abs=1e-10)
    assert (measure.low, measure.high) == pytest.approx(slow.jackknife_interval(batches), abs=1e-10)


def test_a_representation_is_wholly_like_itself():
    x = features(100, 1000, torch.float32)
    whole = accumulate(x, x)
    assert whole.value() == pytest.approx(1, abs=1e-12)
    assert whole.leave_one_out() == pytest.approx([1] * 5, abs=1e-12)


def test_rotation_scale_and_shift_change_nothing():
    x, y = related()
    rotation, _ = torch.linalg.qr(features(40, 40))
    moved = 1e-3 * (x @ rotation) + 5 * torch.randn(40, dtype=torch.float64)
    assert linear_cka(moved, y) == pytest.approx(linear_cka(x, y), abs=1e-10)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), abs=1e-14)
    assert linear_cka(x, -7 * x) == pytest.approx(1, abs=1e-12)


def test_tiny_and_huge_features_lose_nothing():
    x, y = related()
    expected = linear_cka(x, y)
    for scale in (1e-60, 1e60):
        assert linear_cka(scale * x, scale * y) == pytest.approx(expected, abs=1e-10)


def test_independent_noise_is_near_0_where_the_biased_estimate_is_near_1(slow):
    values = []
    for _ in range(20):
        x, y = features(64, 2048, torch.float32), features(64, 2048, torch.float32)
        values.append(linear_cka(x, y))
        assert abs(values[-1]) < 0.1
    assert abs(sum(values) / 20) < 0.03
    assert slow.biased_cka(x.numpy(), y.numpy()) == pytest.approx(0.967, abs=0.01)


def test_both_sides_must_be_in_the_same_order():
    x, y = related(256)
    assert accumulate(x, y).value() > 0.5
    assert abs(accumulate(x, y[torch.randperm(256)]).value()) < 0.1


def test_the_order_within_and_of_minibatches_changes_nothing():
    x, y = related(160)
    expected = accumulate(x, y).value()
    backwards = torch.arange(159, -1, -1)
    assert accumulate(x[backwards], y[backwards]).value() == pytest.approx(expected, abs=1e-12)


def test_cka_stays_within_its_bounds_even_for_few_examples():
    for n in (4, 5, 6, 9):
        for _ in range(50):
            assert -1 - 1e-12 <= linear_cka(features(n, 3), features(n, 3)) <= 1 + 1e-12


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_fewer_than_four_examples_have_no_cka(n):
    x = features(n, 5)
    whole = CkaAccumulator()
    whole.update(x, x)
    assert math.isnan(whole.value())
    assert whole.leave_one_out() == []
    assert whole.why_undefined() == "fewer than 4 examples"
    assert math.isnan(float(debiased_hsic(x @ x.T, x @ x.T)))


def test_a_minibatch_of_fewer_than_four_examples_is_left_out():
    x, y = related(67)
    whole = CkaAccumulator()
    whole.update(x[:64], y[:64])
    whole.update(x[64:], y[64:])
    assert whole.n == 64
    assert whole.value() == linear_cka(x[:64], y[:64])


CONSTANT = {
    "zero": torch.zeros(64, 40),
    "the same everywhere": torch.full((64, 40), 0.1),
    "one row for all": torch.linspace(-3, 1e6, 40).expand(64, 40),
    "rounding": 0.1 * (1 + 1e-7 * torch.rand(64, 40)),
    "but for one example": torch.cat([torch.ones(1, 40), torch.zeros(63, 40)]),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_features_that_do_not_vary_have_no_cka(case):
    for x, y in [(CONSTANT[case], torch.rand(64, 9)), (torch.rand(64, 9), CONSTANT[case])]:
        whole = accumulate(x, y)
        assert math.isnan(whole.value())
        assert whole.why_undefined() == "features do not vary"


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_features_that_are_no_numbers_have_no_cka(wrong):
    x, y = related(dtype=torch.float32)
    x[:, 3] = wrong
    whole = accumulate(x, y)
    assert math.isnan(whole.value())
    assert whole.why_undefined() == "features are not finite"


def test_small_variation_on_a_large_constant_counts():
    x = torch.rand(64, 40)
    assert linear_cka(x, x + 100) == pytest.approx(1, abs=1e-4)


def test_a_minibatch_in_which_one_side_does_not_vary_still_counts_for_the_other():
    x, y = related(128)
    x[:64] = 1
    whole = CkaAccumulator()
    whole.update(x[:64], y[:64])
    whole.update(x[64:], y[64:])
    first, second = (y[:64] @ y[:64].T, y[64:] @ y[64:].T)
    weight = float(debiased_hsic(second, second))
    share = weight / (weight + float(debiased_hsic(first, first)))
    assert whole.value() == pytest.approx(linear_cka(x[64:], y[64:]) * share**0.5, abs=1e-12)


def test_a_minibatch_that_everything_hangs_on_leaves_no_interval():
    x, y = related(16)
    x[8:] = 1
    whole = accumulate(x, y, 8)
    measure = summarise("cka", whole.value(), whole.leave_one_out(), whole.n)
    assert math.isfinite(measure.value)
    assert math.isnan(measure.low)
    assert math.isnan(measure.high)
    assert measure.reason == "undefined without one of the minibatches: no interval"


def test_an_undefined_value_bears_its_reason():
    measure = summarise("cka", math.nan, [], 3, "fewer than 4 examples")
    assert (measure.name, measure.n, measure.reason) == ("cka", 3, "fewer than 4 examples")
    assert math.isnan(measure.value)


def test_centring_leaves_rows_that_sum_to_zero_and_is_done_once():
    x = features(20, 6)
    centred = u_centred(x @ x.T)
    assert centred.sum(dim=0).abs().max() < 1e-11
    assert centred.diagonal().eq(0).all()
    assert torch.allclose(u_centred(centred), centred, atol=1e-12)


def test_leaving_a_term_out_is_exact_however_large_it_is():
    terms = torch.tensor([[1e30], [1.0], [2.0]], dtype=torch.float64)
    assert sums_without_each(terms)[0].item() == 3.0


def test_many_pairs_are_reduced_at_once():
    sums = torch.tensor([[1.0, 1.0, 4.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    values = cka_from_hsic(sums)
    assert values[0].item() == 0.5
    assert values[1].isnan()


def test_the_features_are_left_as_they_are():
    x = features(10, 4)
    before = x.clone()
    centred_gram(x)
    assert x.equal(before)


@pytest.mark.parametrize("size", [4, 5, 64, 1000])
@pytest.mark.parametrize("n", [1, 3, 4, 7, 8, 15, 16, 40, 63, 64, 65, 67, 128, 129, 360, 1000])
def test_minibatches_cover_everything_evenly(n, size):
    pieces = minibatches(n, size)
    assert [i for piece in pieces for i in range(n)[piece]] == list(range(n))
    sizes = [piece.stop - piece.start for piece in pieces]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(n, 4)
    assert len(pieces) >= min(5, n // 8)
    if size >= 8:
        assert max(sizes) <= size


def cka_of_the_population(weights, noise):
    """The CKA of x and x W + noise e for infinitely many examples of normal x and e."""
    covariance = weights.T @ weights + noise**2 * torch.eye(weights.shape[1])
    return float(weights.square().sum() / (len(weights) ** 0.5 * covariance.norm()))


def test_the_value_is_unbiased_and_its_interval_covers_that_of_infinitely_many_examples():
    weights = torch.randn(40, 30, dtype=torch.float64)
    truth = cka_of_the_population(weights, noise=4)
    measures = []
    for _ in range(100):
        x = features(640)
        whole = accumulate(x, x @ weights + 4 * features(640, 30))
        measures.append(summarise("cka", whole.value(), whole.leave_one_out(), whole.n))
    mean = sum(measure.value for measure in measures) / 100
    assert mean == pytest.approx(truth, abs=0.005)
    assert 85 <= sum(measure.low <= truth <= measure.high for measure in measures) <= 99
