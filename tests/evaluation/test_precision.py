"""In low precision attacks search; in float32 their successes count."""

import logging
from fractions import Fraction

import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.registry import BACKENDS, bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation import slow_precision
from clbench.evaluation.run import evaluate
from clbench.schema.record_files import read_records
from clbench.schema.threat_model import ThreatModel

LINF = ThreatModel("Linf", Fraction(1, 10))
CLASSES = 5
ATTACKS = {
    "native": (
        "apgd-ce,n_iter=4",
        "apgd-t,n_iter=4,n_target_classes=3",
        "fab-t,n_iter=4,n_target_classes=3",
        "square,n_queries=30",
        "pgd,steps=4",
    ),
    "package": ("apgd-ce,n_iter=4", "square,n_queries=30"),
}
ROWS = [(backend, attack) for backend, attacks in ATTACKS.items() for attack in attacks]


class Noting(nn.Module):
    """A linear network that notes in which precision it was asked, and may lie in the low one."""

    def __init__(self, lies=0.0):
        super().__init__()
        self.layer = nn.Linear(64, CLASSES)
        self.lies, self.asked = lies, []

    def forward(self, images):
        low = torch.is_autocast_enabled("cpu")
        self.asked.append(low)
        logits = self.layer(images.flatten(1)).float()
        # in low precision alone, the right class is far below the others
        return logits - self.lies * low * nn.functional.one_hot(logits.argmax(1), CLASSES)


@pytest.fixture
def images():
    return torch.rand(12, 1, 8, 8)


def run(network, images, backend, attack, precision="bfloat16"):
    with torch.no_grad():
        labels = network.layer(images.flatten(1)).argmax(1)
    network.asked.clear()
    if backend == "package":
        backend = next((one for one in ("autoattack", "pyautoattack") if is_here(one)), None)
        if backend is None:
            pytest.skip("neither package is here")
    steps = bind(plan_attack(attack, "Linf", CLASSES, backend), CLASSES)
    data = make_image_set("drawn", images, labels, CLASSES)
    how = {"seed": 0, "batch_size": 8, "device": "cpu"}
    return evaluate(network, data, steps, LINF, precision=precision, **how)


def is_here(backend):
    return BACKENDS[backend].is_installed()


@pytest.mark.parametrize(("backend", "attack"), ROWS)
def test_the_search_is_in_low_precision_and_every_success_is_one_in_float32(
    images, backend, attack
):
    network = Noting()
    found = run(network, images, backend, attack)
    assert {True, False} == set(network.asked)
    broken = [bool(by) for by in found.broken_by]
    assert any(broken) or attack.startswith("square")
    with torch.no_grad():
        plain = network.layer(found.adversarial.flatten(1)).argmax(1)
    assert (plain != found.labels).tolist() == broken
    network.asked.clear()
    run(network, images, backend, attack, precision="float32")
    assert set(network.asked) == {False}


@pytest.mark.parametrize(("backend", "attack"), ROWS)
def test_what_low_precision_alone_misjudges_is_not_broken_and_stays_in_the_search(
    images, backend, attack
):
    network = Noting(lies=100.0)
    with torch.no_grad():
        network.layer.bias[0] = 20.0  # nothing in the ball breaks it in float32
    found = run(network, images, backend, attack)
    assert found.broken_by == [""] * len(images)
    asked = network.asked
    assert asked.count(True) > 1
    if backend == "native":  # it is asked on, after what float32 denied
        assert asked[asked.index(False, asked.index(True)) :].count(True) > 1


@pytest.mark.parametrize("backend", ["auto", "native"])
def test_auto_is_float32_and_finds_what_was_made_in_float32(tmp_path, backend):
    how = {"attack": "apgd-ce,n_iter=2", "n_examples": 8, "probe": False, "out": tmp_path}
    how["backend"] = backend
    made = clbench.evaluate("simclr_at", precision="float32", **how)
    again = [clbench.evaluate("simclr_at", **how, **one) for one in ({}, {"precision": "auto"})]
    assert [one.reused for one in again] == [True, True]
    assert {one.record.precision for one in again} == {"float32"} == {made.record.precision}
    assert [one.precision for one in read_records(tmp_path)] == ["float32"]


@pytest.mark.parametrize(("slowdown", "told"), [(0.6, 0), (1.1, 0), (1.3, 1), (9.7, 1)])
def test_slow_bfloat16_is_said_once_with_its_ratio(tmp_path, monkeypatch, caplog, slowdown, told):
    monkeypatch.setattr(slow_precision, "slowdown", lambda *_, **__: slowdown)
    how = {"attack": "apgd-ce,n_iter=2", "n_examples": 8, "probe": False, "out": tmp_path}
    with caplog.at_level(logging.INFO, logger="clbench"):
        clbench.evaluate("simclr_at", precision="bfloat16", **how)
        clbench.evaluate("simclr_at", precision="bfloat16", **how)  # found again
        clbench.evaluate("simclr_at", **how)
    line = (
        f"attacks take {slowdown:.1f} times as long in bfloat16 as in float32 on this cpu, "
        "measured on this network; --precision float32 is quicker"
    )
    assert [one.getMessage() for one in caplog.records] == [line] * told


def test_measuring_changes_nothing(tmp_path, monkeypatch):
    asked = []
    measure = slow_precision.slowdown
    monkeypatch.setattr(
        slow_precision, "slowdown", lambda *a, **k: asked.append(measure(*a, **k)) or 9.0
    )
    how = {"attack": "apgd-ce,n_iter=2", "n_examples": 8, "probe": False, "precision": "bfloat16"}
    one = clbench.evaluate("simclr_at", **how)
    monkeypatch.setattr(slow_precision, "slowdown", lambda *_, **__: 1.0)
    other = clbench.evaluate("simclr_at", **how)
    assert 0 < asked[0] < 1000
    assert one.record.counts == other.record.counts
    assert one.examples.broken_by.tolist() == other.examples.broken_by.tolist()
    assert (one.examples.adversarial == other.examples.adversarial).all()
