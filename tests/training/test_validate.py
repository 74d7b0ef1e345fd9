from fractions import Fraction

import pytest
import torch

from clbench.training import validate
from clbench.training.recipe import Validation
from clbench.training.validate import accuracy

CPU = torch.device("cpu")
ONE_STEP = Validation(Fraction(1, 6), 1)


def test_accuracy_falls_under_attack_and_leaves_the_network_alone(network, digits, state_of, equal):
    train, _ = digits
    network.train()
    before = state_of(network)
    clean, robust = (accuracy(network, train, one, device=CPU) for one in (None, ONE_STEP))
    assert 0 <= robust <= clean <= 1
    assert network.training
    assert equal(state_of(network), before)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_accuracy_is_the_share_of_right_answers(network, digits):
    train, _ = digits
    with torch.no_grad():
        right = network(train.images).argmax(dim=1) == train.labels
    assert accuracy(network, train, None, device=CPU) == pytest.approx(float(right.float().mean()))


@pytest.mark.parametrize("attack", [None, ONE_STEP])
def test_how_many_images_are_looked_at_together_changes_nothing(
    network, digits, attack, monkeypatch
):
    train, _ = digits
    whole = accuracy(network, train, attack, device=CPU)
    monkeypatch.setattr(validate, "_BATCH", 7)
    assert accuracy(network, train, attack, device=CPU) == whole


@pytest.mark.parametrize(
    "forbidden", [lambda images: 1 - images, lambda images: images * torch.nan]
)
def test_images_that_the_attack_may_not_return_count_for_nothing(
    network, digits, forbidden, monkeypatch
):
    class Forbidden:
        def __init__(self, steps):
            pass

        def __call__(self, model, images, *arguments, **options):
            return forbidden(images)

    train, _ = digits
    clean = accuracy(network, train, None, device=CPU)
    monkeypatch.setattr(validate, "PGD", Forbidden)
    assert accuracy(network, train, ONE_STEP, device=CPU) == clean
