import pytest
import torch

from clbench.probes.similarity import gram as module
from clbench.probes.similarity.gram import as_rows, centred_gram, quick_gram, u_centred

PRECISIONS = {"float32": quick_gram, "float64": centred_gram}


def cka(k, l):  # noqa: E741 - k, l as in the papers
    """CKA of one minibatch from its two centred Gram matrices."""
    return float((k * l).sum() / (k * k).sum().sqrt() / (l * l).sum().sqrt())


def test_centring_leaves_rows_that_sum_to_zero_and_is_done_once():
    x = torch.randn(20, 6, dtype=torch.float64)
    centred = u_centred(x @ x.T)
    assert centred.sum(dim=0).abs().max() < 1e-11
    assert centred.diagonal().eq(0).all()
    assert torch.allclose(u_centred(centred), centred, atol=1e-12)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_features_are_left_as_they_are(precision):
    x = torch.randn(10, 5000)
    before = x.clone()
    PRECISIONS[precision](x)
    assert x.equal(before)


def test_wide_features_are_centred_piece_by_piece():
    x = torch.randn(12, 10_000)
    exact = x.double() - x.double().mean(dim=0)
    assert torch.allclose(centred_gram(x), u_centred(exact @ exact.T), rtol=1e-12)


@pytest.mark.parametrize("d", [2048, 5000, 20_000])
@pytest.mark.parametrize("n", [5, 51, 64])
@pytest.mark.parametrize("shift", [0, 0.5, 2, 5, 1000])
def test_single_precision_is_right_to_six_digits(d, n, shift):
    shared = torch.randn(n, 3) @ torch.randn(3, d)
    for x in (torch.randn(n, d) + shift, shared + 0.1 * torch.randn(n, d) + shift):
        exact, other = centred_gram(x), centred_gram(x.roll(1, 1) + torch.randn(n, d))
        assert cka(quick_gram(x), other) == pytest.approx(cka(exact, other), abs=1e-6)


UNFIT = {
    "a large constant beside a small variation": 1000 + torch.randn(64, 4096),
    "no variation": torch.full((64, 4096), 0.1),
    "too small to be squared": 1e-25 * torch.randn(64, 4096),
    "too large to be squared": 1e25 * torch.randn(64, 4096),
    "few features": torch.randn(64, 2047),
    "other numbers": torch.randn(64, 4096).double(),
    "half numbers": torch.randn(64, 4096).half(),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_single_precision_is_unfit_for_is_done_in_double_precision(case):
    x = UNFIT[case]
    assert quick_gram(x).equal(centred_gram(x))


def test_healthy_features_are_multiplied_in_single_precision(monkeypatch):
    x = torch.randn(64, 4096).relu()
    monkeypatch.setattr(module, "centred_gram", None)
    assert quick_gram(x).shape == (64, 64)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_layout_in_memory_changes_nothing(precision):
    x = torch.randn(20, 16, 16, 16)
    last = x.contiguous(memory_format=torch.channels_last)
    assert as_rows(last).data_ptr() == last.data_ptr()
    grams = PRECISIONS[precision](x), PRECISIONS[precision](last)
    assert torch.allclose(*grams, rtol=1e-5, atol=1e-3 if precision == "float32" else 1e-9)


def test_fewer_than_four_examples_have_no_centred_gram():
    for make in PRECISIONS.values():
        assert make(torch.randn(3, 4096)).isnan().all()
