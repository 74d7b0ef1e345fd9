"""What an evaluation promises of every attack in the table, in every norm that it covers."""

from fractions import Fraction
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from clbench.attacks.grammar import ATTACKS, norms_of
from clbench.attacks.norms import is_inside
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.run import evaluate
from clbench.schema.flags import FLAGS
from clbench.schema.threat_model import ThreatModel

SHORT = {
    "apgd": "n_iter=5",
    "fab": "n_iter=5",
    "square": "n_queries=20",
    "pgd": "steps=5",
    "torchattacks:Square": "n_queries=20",
    "torchattacks:SPSA": "nb_sample=16",
    "torchattacks:EADEN": "max_iterations=10",
}
"""Options that keep a test short; the cascades have none, so their tests break all images soon."""

EPS = {"Linf": ("1/50", "2/5"), "L2": ("1/8", "6"), "L1": ("1/2", "40")}
"""By norm: an eps that leaves some images standing, and one that breaks all."""

LONG = {"best", "fast+autoattack"}
"""Made of AutoAttack's components and of two others, which are all here by themselves."""

CASES = [(name, norm) for name in ATTACKS if name not in LONG for norm in norms_of(name)]
every_attack = pytest.mark.parametrize(("name", "norm"), CASES, ids=map("-".join, CASES))


def make_network():
    """A linear network with the usual layers, one of them left in training mode on purpose."""
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Dropout(0.5), nn.Linear(192, 4))
    with torch.no_grad():
        network[3].weight.copy_(torch.randn(4, 192, generator=generator) / 8)
        network[3].bias.zero_()
    network[1].running_mean.fill_(0.5)
    return network.train()


@cache
def some_images():
    """Eight images, seven with the label that the network gives them."""
    images = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    labels = make_network().eval()(images).argmax(1)
    labels[5] = (labels[5] + 1) % 4
    return make_image_set("some", images, labels, 4)


def run(name, norm, eps, network=None, **changes):
    short = next((text for start, text in SHORT.items() if name.startswith(start)), "")
    steps = bind(plan_attack(f"{name},{short}" if short else name, norm, 4), 4)
    batch_size = 8 if name.startswith("autoattack") else 5
    settings = {"seed": 3, "batch_size": batch_size, "device": "cpu"} | changes
    threat_model = ThreatModel(norm, Fraction(eps))
    return evaluate(network or make_network(), some_images(), steps, threat_model, **settings)


@cache
def strong_run(name, norm):
    return run(name, norm, EPS[norm][1])


@every_attack
def test_adversarial_images_stay_inside_the_ball_and_the_pixel_range(name, norm):
    outcome = strong_run(name, norm)
    threat_model = ThreatModel(norm, Fraction(EPS[norm][1]))
    assert is_inside(outcome.adversarial, some_images().images, threat_model).all()
    assert "out_of_bounds" not in outcome.flag_names
    assert set(outcome.flag_names) <= set(FLAGS)


@every_attack
def test_verdicts_agree_with_the_plain_network(name, norm):
    outcome, network = strong_run(name, norm), make_network().eval()
    with torch.no_grad():
        assert torch.equal(network(some_images().images).argmax(1), outcome.clean_pred)
        assert torch.equal(network(outcome.adversarial).argmax(1), outcome.adv_pred)
    for example, by in enumerate(outcome.broken_by):
        right = outcome.adv_pred[example] == some_images().labels[example]
        assert right == (by == "")


@every_attack
def test_robust_accuracy_is_at_most_clean_accuracy(name, norm):
    outcome = strong_run(name, norm)
    assert outcome.clean_acc.value == 7 / 8
    assert outcome.robust_acc.value <= outcome.clean_acc.value
    assert outcome.broken_by[5] == "clean"


@every_attack
def test_an_empty_ball_changes_nothing(name, norm):
    outcome = run(name, norm, "0")
    assert outcome.robust_acc.value == outcome.clean_acc.value
    assert torch.equal(outcome.adversarial, some_images().images)


@every_attack
def test_a_larger_ball_never_raises_robust_accuracy(name, norm):
    small = EPS[norm][0]
    left = [strong_run(name, norm).clean_acc.value]
    if not name.startswith("autoattack"):
        left.append(run(name, norm, small).robust_acc.value)
    left.append(strong_run(name, norm).robust_acc.value)
    assert left == sorted(left, reverse=True)


@cache
def watched_run(name, norm):
    """The strong run once more, with everything noted that it might disturb."""
    network = make_network()
    network[1].eval()
    network[3].bias.requires_grad_(False)
    network[3].weight.grad = torch.ones(4, 192)
    network[3].register_forward_hook(lambda module, images, logits: None)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    hooks = [dict(module._forward_hooks) for module in network.modules()]
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the generator that attack packages share
    outcome = run(name, norm, EPS[norm][1], network)
    drawn = torch.rand(3).tolist(), np.random.rand(3).tolist()  # noqa: NPY002 - the generator that attack packages use
    return SimpleNamespace(
        network=network, before=before, hooks=hooks, outcome=outcome, drawn=drawn
    )


@every_attack
def test_the_same_seed_gives_the_same_result(name, norm):
    first, second = strong_run(name, norm), watched_run(name, norm).outcome
    assert torch.equal(first.adversarial, second.adversarial)
    assert first.broken_by == second.broken_by
    # one with hooks is attacked as it is, without a look at its faster equal
    assert 0 <= first.forward_passes - second.forward_passes <= len(first.labels)


@every_attack
def test_weights_and_mode_of_the_network_stay(name, norm):
    watched = watched_run(name, norm)
    after = watched.network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in watched.before.items())
    assert [module.training for module in watched.network] == [True, False, True, True]
    assert watched.network.training


@every_attack
def test_gradients_and_hooks_of_the_network_stay(name, norm):
    watched = watched_run(name, norm)
    network = watched.network
    assert [p.requires_grad for p in network.parameters()] == [True, True, True, False]
    assert torch.equal(network[3].weight.grad, torch.ones(4, 192))
    assert network[3].bias.grad is None
    assert watched.hooks == [dict(module._forward_hooks) for module in network.modules()]
    assert not any(module._backward_hooks for module in network.modules())


@every_attack
def test_random_numbers_go_on_as_if_nothing_had_happened(name, norm):
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the generator that attack packages use
    expected = torch.rand(3).tolist(), np.random.rand(3).tolist()  # noqa: NPY002 - the generator that attack packages use
    assert watched_run(name, norm).drawn == expected
