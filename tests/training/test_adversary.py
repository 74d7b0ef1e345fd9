from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from clbench.attacks.norms import NORMS, is_inside
from clbench.schema.errors import BadValueError
from clbench.schema.names import NORM_NAMES
from clbench.schema.threat_model import ThreatModel
from clbench.training.adversary import Adversary, perturb

EPS = Fraction(1, 6)
STRONG = Adversary(EPS, steps=4, step_size=0.7)


@pytest.fixture
def images():
    return torch.rand(12, 1, 8, 8)


@pytest.fixture
def objective(network):
    labels = torch.arange(12) % 10
    network.requires_grad_(False)
    return lambda images: functional.cross_entropy(network(images), labels)


@pytest.fixture
def attack(objective, images, generator):
    """Return the attack on everything above; keyword arguments replace eps and adversary."""

    def run(eps=EPS, adversary=STRONG, generator=generator):
        return perturb(objective, images, adversary, eps=eps, generator=generator)

    return run


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("start", ["random", "zero"])
@pytest.mark.parametrize("eps", [Fraction(1, 100), EPS, Fraction(1)])
def test_adversarial_images_use_the_ball_and_stay_in_it_and_the_pixel_range(
    attack, images, eps, start, norm
):
    adversarial = attack(eps, replace(STRONG, start=start, norm=norm))
    assert is_inside(adversarial, images, ThreatModel(norm, eps)).all()
    assert NORMS[norm].distance(adversarial, images).mean() > 0.5 * float(eps)


def test_eps_0_changes_nothing(attack, images):
    assert torch.equal(attack(Fraction(0)), images)


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_the_objective_grows(attack, images, objective, norm):
    assert objective(attack(adversary=replace(STRONG, norm=norm))) > objective(images)


def test_more_steps_go_further(attack, objective):
    one = objective(attack(adversary=Adversary(EPS, steps=1, step_size=0.1)))
    many = objective(attack(adversary=Adversary(EPS, steps=8, step_size=0.5)))
    assert many > one


def grey_after(adversary, eps):
    """Return how far grey images go along an objective of constant slope."""
    grey = torch.full((2, 1, 4, 4), 0.5)
    moved = perturb(torch.sum, grey, adversary, eps=eps, generator=torch.Generator())
    return (moved - grey).unique().tolist()


def test_a_zero_start_is_the_image_and_every_step_is_a_share_of_eps():
    one = Adversary(EPS, steps=1, step_size=0.25, start="zero")
    assert grey_after(one, EPS) == pytest.approx([0.25 / 6], rel=1e-5)
    assert grey_after(replace(one, steps=3), EPS) == pytest.approx([0.75 / 6], rel=1e-5)
    assert grey_after(replace(one, steps=9), EPS) == pytest.approx([1 / 6], rel=1e-5)
    assert grey_after(one, EPS / 2) == pytest.approx([0.25 / 12], rel=1e-5)


def test_a_fixed_step_does_not_know_eps():
    paper = Adversary(Fraction(16, 255), steps=5, fixed_step=0.01, start="zero")
    assert grey_after(paper, Fraction(16, 255)) == pytest.approx([0.05], rel=1e-5)  # never 16/255
    assert grey_after(paper, Fraction(2, 255)) == pytest.approx([2 / 255], rel=1e-5)


def test_a_random_start_is_spread_over_the_ball(generator):
    still = Adversary(EPS, steps=1, fixed_step=1e-9)
    grey = torch.full((64, 1, 8, 8), 0.5)
    offset = perturb(torch.sum, grey, still, eps=EPS, generator=generator) - grey
    assert offset.abs().max() > 0.99 / 6
    assert offset.mean().abs() < 0.01
    assert offset.std() == pytest.approx(1 / 6 / 3**0.5, rel=0.05)  # of a uniform number


def test_the_generator_is_all_that_decides(attack):
    before = torch.get_rng_state()
    first, second = (attack(generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, attack(generator=torch.Generator().manual_seed(6)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("enabled", [True, False])
def test_adversarial_images_carry_no_graph_and_are_found_without_one_too(attack, images, enabled):
    with torch.set_grad_enabled(enabled):
        adversarial = attack()
    assert not adversarial.requires_grad
    assert not images.requires_grad


def test_eps_grows_evenly_to_its_full_size():
    growing = Adversary(EPS, steps=1, step_size=1.0, warmup_epochs=3)
    found = [growing.eps_in(epoch) / EPS for epoch in range(1, 7)]
    assert found == [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "^steps of an adversary must be at least 1, got 0$"),
        ({"warmup_epochs": -1}, "^warmup_epochs of an adversary must be at least 0, got -1$"),
        ({"step_size": 0.0}, r"^an adversary needs a step_size or a fixed_step .* 0\.0 and 0\.0$"),
        ({"fixed_step": 0.01}, r"and only one of them, got 1\.0 and 0\.01$"),
        ({"step_size": -1.0, "fixed_step": 0.01}, r"only one of them, got -1\.0 and 0\.01$"),
        ({"eps": Fraction(-1, 6)}, "^eps must not be negative"),
        ({"eps": Fraction(8)}, "^Linf eps must be at most 1"),
    ],
)
def test_an_impossible_adversary_is_refused(change, message):
    with pytest.raises(BadValueError, match=message):
        Adversary(**({"eps": EPS, "steps": 1, "step_size": 1.0} | change))
