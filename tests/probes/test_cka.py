import math

import pytest
import torch

from clbench.probes.similarity.cka import (
    cka_from_hsic,
    debiased_hsic,
    linear_cka,
)
from clbench.probes.similarity.hsic import sums_without_each
from clbench.probes.similarity.matrix import summarise
from clbench.probes.similarity.minibatches import minibatches


def features(n=64, d=40, dtype=torch.float64):
    return torch.randn(n, d, dtype=dtype)


def test_hsic_is_the_average_over_all_quadruples(slow, related):
    x, y = related(7, 3)
    k, l = x @ x.T, y @ y.T  # noqa: E741 - k, l as in the papers
    expected = slow.hsic_by_quadruples(k.numpy(), l.numpy())
    assert float(debiased_hsic(k, l)) == pytest.approx(expected, rel=1e-11)
    assert slow.hsic(k.numpy(), l.numpy()) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("n", [4, 5, 64, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cka_of_one_batch_equals_its_definition(slow, related, n, dtype):
    x, y = related(n, dtype=dtype)
    expected = slow.minibatch_cka([(x.numpy(), y.numpy())])
    assert linear_cka(x, y) == pytest.approx(expected, abs=1e-10)


def test_rotation_scale_and_shift_change_nothing(related):
    x, y = related()
    rotation, _ = torch.linalg.qr(features(40, 40))
    moved = 1e-3 * (x @ rotation) + 5 * torch.randn(40, dtype=torch.float64)
    assert linear_cka(moved, y) == pytest.approx(linear_cka(x, y), abs=1e-10)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), abs=1e-14)
    assert linear_cka(x, -7 * x) == pytest.approx(1, abs=1e-12)


def test_tiny_and_huge_features_lose_nothing(related):
    x, y = related()
    expected = linear_cka(x, y)
    for scale in (1e-60, 1e60):
        assert linear_cka(scale * x, scale * y) == pytest.approx(expected, abs=1e-10)


def test_cka_stays_within_its_bounds_even_for_few_examples():
    for n in (4, 5, 6, 9):
        for _ in range(50):
            assert -1 - 1e-12 <= linear_cka(features(n, 3), features(n, 3)) <= 1 + 1e-12


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_fewer_than_four_examples_have_no_hsic(n):
    x = features(n, 5)
    assert math.isnan(linear_cka(x, x))
    assert math.isnan(float(debiased_hsic(x @ x.T, x @ x.T)))


def test_an_undefined_value_bears_its_reason():
    measure = summarise("cka", math.nan, [], 3, "fewer than 4 examples")
    assert (measure.name, measure.n, measure.reason) == ("cka", 3, "fewer than 4 examples")
    assert math.isnan(measure.value)


def test_leaving_a_term_out_is_exact_however_large_it_is():
    terms = torch.tensor([[1e30], [1.0], [2.0]], dtype=torch.float64)
    assert sums_without_each(terms)[0].item() == 3.0


def test_many_pairs_are_reduced_at_once():
    cross = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    rows, columns = torch.tensor([1.0, 4.0]).double(), torch.tensor([4.0, 0.0]).double()
    values = cka_from_hsic(cross, rows[:, None], columns[None, :])
    assert values[:, 0].tolist() == [0.5, 0.75]
    assert values[:, 1].isnan().all()


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
