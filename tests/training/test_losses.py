import math

import pytest
import torch
from torch.nn import functional

from clbench.training.losses import LOSSES, Weights, nt_xent, supcon, trades

WEIGHTS = Weights(temperature=0.07, beta=6.0)


@pytest.fixture
def projections():
    """Two views of six examples."""
    return torch.randn(2, 6, 5)


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 1, 2, 0, 1])


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_nt_xent_is_its_definition(projections, slow, temperature):
    expected = slow.nt_xent_by_definition(projections.flatten(0, 1).tolist(), temperature)
    assert float(nt_xent(projections, temperature=temperature)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_supcon_is_its_definition(slow, views, temperature):
    projections, labels = torch.randn(views, 6, 5), torch.tensor([0, 1, 1, 2, 0, 2])
    rows, ids = projections.flatten(0, 1).tolist(), labels.repeat(views).tolist()
    expected = slow.supcon_by_definition(rows, ids, temperature)
    found = float(supcon(projections, labels, temperature=temperature))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_its_definition(slow, labels, views, beta):
    clean, adversarial = torch.randn(2, views, 6, 5)
    expected = slow.trades_by_definition(
        *(clean.flatten(0, 1).tolist(), adversarial.flatten(0, 1).tolist()),
        *(labels.repeat(views).tolist(), beta),
    )
    found = trades(torch.cat([clean, adversarial]), labels, beta=beta)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_trades_of_equal_predictions_is_the_cross_entropy(labels):
    clean = torch.randn(1, 6, 5)
    found = trades(torch.cat([clean, clean + 3]), labels, beta=6.0)  # the softmax sees no shift
    torch.testing.assert_close(found, functional.cross_entropy(clean[0], labels))


def test_the_divergence_of_trades_is_never_negative_and_grows_with_beta(projections, labels):
    values = [float(trades(projections, labels, beta=beta)) for beta in (0.0, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-4)


def test_trades_sees_labels_through_clean_predictions_alone(projections, labels):
    adversarial = projections[1:].requires_grad_()
    slopes = [
        torch.autograd.grad(
            trades(torch.cat([projections[:1], adversarial]), some, beta=2.0), adversarial
        )[0]
        for some in (labels, labels.flip(0))
    ]
    assert torch.equal(*slopes)


def test_supcon_with_labels_all_different_is_nt_xent(projections):
    different = torch.tensor([7, 3, 9, 1, 0, 4])
    expected = nt_xent(projections, temperature=0.3)
    assert torch.equal(supcon(projections, different, temperature=0.3), expected)


def test_supcon_with_one_label_is_never_below_the_best_it_can_be(projections):
    one = torch.zeros(6, dtype=torch.int64)
    least = math.log(11)
    assert float(supcon(projections, one, temperature=0.3)) >= least
    same = torch.ones(2, 6, 5)
    assert float(supcon(same, one, temperature=0.3)) == pytest.approx(least)


def test_the_order_of_examples_and_of_views_does_not_matter(projections, labels):
    order = torch.randperm(6)
    moved = supcon(projections[:, order], labels[order], temperature=0.3)
    swapped = supcon(projections.flip(0), labels, temperature=0.3)
    expected = supcon(projections, labels, temperature=0.3)
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close(swapped, expected)


def test_only_the_equality_of_labels_matters(projections, labels):
    renamed = torch.tensor([5, 2, 9])[labels]
    expected = supcon(projections, labels, temperature=0.3)
    assert torch.equal(supcon(projections, renamed, temperature=0.3), expected)


def test_the_length_of_projections_does_not_matter(projections, labels):
    expected = supcon(projections, labels, temperature=0.3)
    longer = supcon(7 * projections, labels, temperature=0.3)
    torch.testing.assert_close(longer, expected)


def test_views_that_agree_lose_less(projections):
    agreeing = torch.stack([projections[0], projections[0]])
    assert nt_xent(agreeing, temperature=0.5) < nt_xent(projections, temperature=0.5)


def test_cross_entropy_is_the_mean_over_views(projections, labels):
    expected = sum(functional.cross_entropy(view, labels) for view in projections) / 2
    found = LOSSES["cross_entropy"].compute(projections, labels, WEIGHTS)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_finite_gradients(name, projections, labels):
    projections.requires_grad_()
    loss = LOSSES[name].compute(projections, labels, WEIGHTS)
    loss.backward()
    assert loss.ndim == 0
    assert projections.grad.isfinite().all()
    assert projections.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_says_whether_it_uses_labels(name, projections, labels):
    row = LOSSES[name]
    one = row.compute(projections, labels, WEIGHTS)
    other = row.compute(projections, labels.flip(0).roll(1), WEIGHTS)
    assert torch.equal(one, other) is not row.labelled


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_computed_in_float32(name, projections, labels):
    row = LOSSES[name]
    rough = projections.bfloat16()
    found, exact = (row.compute(x, labels, WEIGHTS) for x in (rough, rough.float()))
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)
