"""Our cascade against AutoAttack's own, run by the package itself."""

import sys
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from pyautoattack import AutoAttack
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.run import evaluate
from clbench.schema.threat_model import ThreatModel

SEED = 11


class FixedSeed:
    """An attack of ours with the one seed that AutoAttack gives to every batch."""

    def __init__(self, attack):
        self.attack = attack

    def __call__(self, model, images, labels, threat_model, *, seed, index):
        attack = self.attack.build(model, threat_model, seed=SEED, device=images.device)
        return attack.perturb(images, labels)


@pytest.fixture
def network():
    layers = nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def image_set(network):
    images = torch.rand(7, 1, 8, 8)
    labels = network(images).argmax(1)
    labels[3] = (labels[3] + 1) % 10
    return make_image_set("seven", images, labels, 10)


def ours(network, image_set, steps, norm, eps, batch_size):
    steps = tuple(replace(step, attack=FixedSeed(step.attack)) for step in steps)
    threat_model = ThreatModel(norm, Fraction(eps))
    settings = {"seed": 0, "batch_size": batch_size, "device": "cpu"}
    return evaluate(network, image_set, steps, threat_model, **settings)


def run_autoattack(adversary, image_set, batch_size):
    trace = sys.gettrace()  # AutoAttack takes it away, and with it any coverage measurement
    try:
        images, labels = image_set.images, image_set.labels
        return adversary.run_standard_evaluation(images, labels, batch_size=batch_size)
    finally:
        sys.settrace(trace)


def assert_equal(outcome, image_set, theirs):
    images, predicted = theirs
    assert torch.equal(outcome.adversarial, images)
    assert torch.equal(outcome.adv_pred, predicted)
    assert 0 < outcome.robust_acc.value < outcome.clean_acc.value == 6 / 7
    robust = (predicted == image_set.labels).double().mean()
    assert outcome.robust_acc.value == pytest.approx(float(robust))


def test_the_standard_cascade_equals_autoattack_but_for_fewer_queries(network, image_set):
    adversary = AutoAttack(network, norm="Linf", eps=1 / 40, seed=SEED)
    adversary.square.n_queries = 500
    theirs = run_autoattack(adversary, image_set, 7)
    *white, square = bind(plan_attack("autoattack", "Linf", 10, "pyautoattack"), 10)
    parameters = {**square.attack.parameters, "n_queries": 500}
    square = replace(square, attack=replace(square.attack, parameters=parameters))
    assert_equal(ours(network, image_set, (*white, square), "Linf", "1/40", 7), image_set, theirs)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_batches_are_regrouped_as_autoattack_does(network, image_set, norm):
    eps = {"Linf": "1/40", "L2": "1/8", "L1": "1/2"}[norm]
    names = ["apgd-dlr", "fab", "square", "apgd-ce", "apgd-t", "fab-t"]
    adversary = AutoAttack(
        network, norm=norm, eps=float(Fraction(eps)), seed=SEED, version="custom", attacks=names
    )
    for attack in (adversary.apgd, adversary.apgd_targeted, adversary.fab):
        attack.n_restarts = 1
    adversary.apgd = type(adversary.apgd)(network, 4, norm, 2, float(Fraction(eps)), device="cpu")
    adversary.apgd_targeted = type(adversary.apgd_targeted)(
        network, 4, norm, 1, float(Fraction(eps)), device="cpu"
    )
    adversary.fab.n_iter, adversary.square.n_queries = 4, 20
    theirs = run_autoattack(adversary, image_set, 4)

    short = {"apgd": "n_iter=4", "fab": "n_iter=4", "squa": "n_queries=20"}
    texts = [f"{name},{short[name[:4].rstrip('-')]}" for name in names]
    texts = [text + ",n_restarts=2" * text.startswith(("apgd-d", "apgd-c")) for text in texts]
    if norm == "L1":
        one_ball = ",use_largereps=false"
        texts = [text + one_ball * text.startswith("apgd") for text in texts]
        texts = [text + ",n_target_classes=9" * text.startswith("apgd-t") for text in texts]
    steps = [
        step for text in texts for step in bind(plan_attack(text, norm, 10, "pyautoattack"), 10)
    ]
    assert_equal(ours(network, image_set, steps, norm, eps, 4), image_set, theirs)


OWN = {
    "apgd-ce": "apgd",
    "apgd-dlr": "apgd",
    "apgd-t": "apgd_targeted",
    "fab": "fab",
    "fab-t": "fab",
    "square": "square",
}


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
def test_every_step_is_set_up_as_autoattack_sets_it_up(network, version, norm):
    adversary = AutoAttack(network, norm=norm, eps=0.25, seed=SEED, version=version)
    name = "autoattack" if version == "standard" else f"autoattack-{version}"
    steps = bind(plan_attack(name, norm, 10, "pyautoattack"), 10)
    assert [step.name for step in steps] == adversary.attacks_to_run
    for step in steps:
        changed = {
            "apgd-dlr": {"loss": "dlr"},
            "fab": {"targeted": False},
            "fab-t": {"targeted": True, "n_restarts": 1},
        }.get(step.name, {})  # what AutoAttack sets when the step begins
        theirs = vars(getattr(adversary, OWN[step.name])) | changed
        threat_model = ThreatModel(norm, Fraction(1, 4))
        device = torch.device("cpu")
        mine = vars(step.attack.build(network, threat_model, seed=SEED, device=device))
        ignored = {"logger", "device"} | ({"n_target_classes"} if step.name == "fab" else set())
        assert mine.keys() == theirs.keys()
        for key in mine.keys() - ignored:
            assert mine[key] == theirs[key], f"{step.name} {key}"


def test_zero_gradients_raise_no_warning(network, image_set):
    class Steps(nn.Module):
        def forward(self, images):
            return network(images.round())

    steps = bind(plan_attack("apgd-t,n_iter=3,n_target_classes=2", "Linf", 10), 10)
    settings = {"seed": 0, "batch_size": 7, "device": "cpu"}
    outcome = evaluate(Steps(), image_set, steps, ThreatModel("Linf", Fraction(1, 100)), **settings)
    assert "zero_gradient" in outcome.flag_names


@pytest.mark.parametrize("norm", ["L2", "L1"])
@pytest.mark.parametrize("backend", ["pyautoattack", "native"])
@pytest.mark.parametrize("name", ["apgd-t,n_iter=3", "square,n_queries=5", "fab-t,n_iter=3"])
def test_networks_in_channels_last_format_are_attacked(name, norm, backend):
    class ChannelsLast(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)

        def forward(self, images):
            return self.conv(images.contiguous(memory_format=torch.channels_last)).mean((2, 3))

    network, images = ChannelsLast(), torch.rand(4, 3, 8, 8)
    image_set = make_image_set("four", images, network(images).argmax(1), 5)
    settings = {"seed": 0, "batch_size": 4, "device": "cpu"}
    threat_model = ThreatModel(norm, Fraction(1))
    steps = bind(plan_attack(name, norm, 5, backend), 5)
    outcome = evaluate(network, image_set, steps, threat_model, **settings)
    assert outcome.robust_acc.value <= outcome.clean_acc.value


@pytest.mark.parametrize("norm", ["Linf", "L1"])
@pytest.mark.parametrize("n", [1, 2])
def test_few_images_are_attacked_too(network, image_set, n, norm):
    few = image_set.head(n)
    for name in ("apgd-t,n_iter=3", "fab,n_iter=3", "square,n_queries=5", "fab-t,n_iter=3"):
        steps = bind(plan_attack(name, norm, 10), 10)
        settings = {"seed": 0, "batch_size": None, "device": "cpu"}
        outcome = evaluate(network, few, steps, ThreatModel(norm, Fraction(1, 8)), **settings)
        assert len(outcome.broken_by) == n
