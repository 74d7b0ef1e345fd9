from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from clbench.errors import BadValueError
from clbench.train.adversary import Adversary, perturb

EPS = Fraction(1, 6)
STRONG = Adversary(EPS, steps=4, step_size=0.7)


@pytest.fixture
def images():
    return torch.rand(12, 1, 8, 8)


@pytest.fixture
def objective():
    labels = torch.arange(12) % 10
    return lambda logits: functional.cross_entropy(logits, labels)


@pytest.fixture
def attack(network, images, objective, generator):
    """Return the attack on everything above; keyword arguments replace eps and adversary."""

    def run(eps=EPS, adversary=STRONG, generator=generator):
        return perturb(network, objective, images, adversary, eps=eps, generator=generator)

    return run


@pytest.mark.parametrize("eps", [Fraction(1, 100), EPS, Fraction(1)])
def test_adversarial_images_stay_in_the_ball_and_the_pixel_range(attack, images, eps):
    adversarial = attack(eps)
    assert (adversarial - images).abs().max() <= float(eps) + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_eps_0_changes_nothing(attack, images):
    assert torch.equal(attack(Fraction(0)), images)


def test_the_objective_grows(attack, network, images, objective):
    with torch.no_grad():
        assert objective(network(attack())) > objective(network(images))


def test_more_steps_go_further(attack, network, objective):
    with torch.no_grad():
        one = objective(network(attack(adversary=Adversary(EPS, steps=1, step_size=0.1))))
        many = objective(network(attack(adversary=Adversary(EPS, steps=8, step_size=0.5))))
    assert many > one


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_found(attack, network, training):
    network.train(training)
    network.layer1.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    attack()
    assert all(module.training is training for module in network.modules())
    assert [parameter.requires_grad for parameter in network.parameters()] == wanted
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_network_in_train_mode_is_attacked_in_eval_mode(attack, network):
    calm = attack(generator=torch.Generator().manual_seed(1))
    network.train()
    assert torch.equal(attack(generator=torch.Generator().manual_seed(1)), calm)


def test_the_generator_is_all_that_decides(attack):
    before = torch.get_rng_state()
    first, second = (attack(generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, attack(generator=torch.Generator().manual_seed(6)))
    assert torch.equal(torch.get_rng_state(), before)


def test_adversarial_images_carry_no_graph(attack):
    assert not attack().requires_grad


def test_eps_grows_evenly_to_its_full_size():
    growing = Adversary(EPS, steps=1, step_size=1.0, warmup_epochs=3)
    found = [growing.eps_in(epoch) / EPS for epoch in range(1, 7)]
    assert found == [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "^steps of an adversary must be at least 1, got 0$"),
        ({"warmup_epochs": -1}, "^warmup_epochs of an adversary must be at least 0, got -1$"),
        ({"step_size": 0.0}, r"^step_size of an adversary must be above 0, got 0\.0$"),
        ({"eps": Fraction(-1, 6)}, "^eps must not be negative"),
        ({"eps": Fraction(8)}, "^Linf eps must be at most 1"),
    ],
)
def test_an_impossible_adversary_is_refused(change, message):
    with pytest.raises(BadValueError, match=message):
        Adversary(**({"eps": EPS, "steps": 1, "step_size": 1.0} | change))
