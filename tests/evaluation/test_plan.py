"""What is foretold of an evaluation is what it takes."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.registry import bind, plan_attack
from clbench.attacks.rows import Passes
from clbench.data.image_set import make_image_set
from clbench.evaluation import pace
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch
from clbench.evaluation.pace import Bench
from clbench.evaluation.plan import SIZES, Look, Pace, about, at_most, intervals, total
from clbench.evaluation.run import evaluate
from clbench.schema.protocol import protocols
from clbench.schema.threat_model import ThreatModel

CLASSES, N = 5, 6
LINF = ThreatModel("Linf", Fraction(1, 10**6))


# figures


POOL = Pace("pool", Passes(11, 11), guessed=False, steps=10, seconds=0.5, images=4.0)
AHEAD = replace(POOL, looks_ahead=True)
PACKAGE = Pace("package", Passes(100, 30), guessed=False, steps=1, seconds=2.0, images=1.0)
LOOK = Look(n=10, right=9, standing=5, steps=5)


@pytest.mark.parametrize(
    ("one", "standing", "fallen", "steps", "expected"),
    [
        (POOL, 0, 0, 0, (0, 0, 0.0)),
        (POOL, 4, 0, 0, (44, 44, 5.0)),
        (POOL, 5, 0, 0, (55, 55, 10.0)),  # a tile that is not full takes as long
        (POOL, 1, 0, 0, (11, 11, 5.0)),
        (AHEAD, 5, 0, 0, (55, 55, 6.25)),  # but where that gives room for steps to come
        (AHEAD, 1, 0, 0, (11, 11, 1.25)),
        (POOL, 0, 8, 5, (44, 44, 5.0)),  # what breaks leaves
        (POOL, 2, 2, 5, (33, 33, 5.0)),
        (POOL, 2, 2, 50, (44, 44, 5.0)),
        (PACKAGE, 3, 0, 0, (300, 90, 6.0)),
        (PACKAGE, 3, 2, 5, (500, 150, 10.0)),  # nothing leaves a batch
        (replace(POOL, images=8 / 9), 2, 0, 0, (22, 22, 15.0)),  # more attempts than places
        (replace(PACKAGE, passes=Passes(0.5)), 3, 0, 0, (2, 0, 6.0)),
    ],
)
def test_a_cost_is_passes_of_images_and_seconds_of_batches(one, standing, fallen, steps, expected):
    found = one.cost(float(standing), float(fallen), steps=steps)
    assert (found.forward, found.backward, pytest.approx(found.seconds)) == expected


def test_at_most_all_stand_and_about_as_many_as_in_the_look():
    most, likely = at_most([PACKAGE, POOL], 20), about([PACKAGE, POOL], 20, LOOK)
    assert [one.forward for one in most] == [2000, 220]
    assert [one.forward for one in likely] == [1800, 110]  # 18 right ones, then 10 that stand
    assert total(most).forward == 2220
    assert total(likely).seconds == pytest.approx(36 + 15)
    assert about([], 20, LOOK) == ()


@pytest.mark.parametrize("n", [1, 7, 128, 10_000])
@pytest.mark.parametrize("right", [0, 1, 5, 10])
@pytest.mark.parametrize("standing", [0, 1, 5, 10])
def test_about_is_never_more_than_at_most(n, right, standing):
    look = Look(10, right, min(right, standing), 5)
    most, likely = at_most([POOL, PACKAGE], n), about([POOL, PACKAGE], n, look)
    for upper, lower in zip(most, likely, strict=True):
        assert lower.forward <= upper.forward
        assert lower.backward <= upper.backward
        assert lower.seconds <= upper.seconds + 1e-9


@pytest.mark.parametrize(
    ("share", "n", "width"),
    [(0.5, 100, 0.1923), (0.5, 10_000, 0.0196), (0.7, 1000, 0.0567), (0.0, 100, 0.0370)],
)
def test_intervals_are_those_that_records_have(share, n, width):
    found = {one.n: one for one in intervals(share, 360)}
    assert list(found) == sorted({*SIZES, 360})
    assert found[n].high - found[n].low == pytest.approx(width, abs=1e-4)
    widths = [one.high - one.low for one in found.values()]
    assert widths == sorted(widths, reverse=True)


# passes, against those of an evaluation in which nothing breaks


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def images(network):
    drawn = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return make_image_set("drawn", drawn, network(drawn).argmax(1), CLASSES)


EXACT = (
    "apgd-ce,n_iter=4",
    "apgd-ce,n_iter=4,n_restarts=2",
    "apgd-ce,n_iter=3,eot_iter=3",
    "apgd-dlr,n_iter=7",
    "apgd-t,n_iter=4,n_target_classes=3",
    "apgd-t,n_iter=3,n_target_classes=2,n_restarts=2",
    "fab-t,n_iter=4,n_target_classes=3",
    "fab-t,n_iter=4,n_target_classes=3,n_restarts=2",
    "fab,n_iter=6",
    "fab,n_iter=3,n_restarts=2",
    "square,n_queries=20",
    "square,n_queries=20,n_restarts=2",
    "pgd,steps=4",
    "pgd,steps=4,restarts=3",
    "pgd,steps=5,start=zero",
)


def passes_of(network, images, attack, backend):
    """The passes of each image under an attack, beside those that look at it first."""
    steps = bind(plan_attack(attack, "Linf", CLASSES, backend), CLASSES)
    how = {"seed": 0, "batch_size": N, "device": "cpu"}
    found = evaluate(network, images, steps, LINF, **how)
    assert found.broken_by == [""] * N
    before = evaluate(network, images, steps, ThreatModel("Linf", Fraction(0)), **how)
    forward, backward = (
        (getattr(found, name) - getattr(before, name)) / N
        for name in ("forward_passes", "backward_passes")
    )
    return steps[0], forward, backward


@pytest.mark.parametrize("attack", EXACT)
@pytest.mark.parametrize("backend", ["native", "auto"])
def test_an_attack_takes_no_more_passes_than_its_row_says_and_hardly_fewer(
    network, images, attack, backend
):
    step, forward, backward = passes_of(network, images, attack, backend)
    assert not step.is_guessed
    assert forward <= step.passes.forward
    assert backward <= step.passes.backward <= 1.3 * backward
    if "square" not in attack:  # which knows some answers
        # steps are few here, so that what comes before and after them counts
        assert step.cost <= 1.3 * (forward + 2 * backward) + 8
    assert step.cost == step.passes.forward + 2 * step.passes.backward


def test_a_survivor_of_standard_takes_what_the_field_knows():
    steps = bind(plan_attack("autoattack", "Linf", 10), 10)
    assert 7800 < sum(step.passes.forward for step in steps) < 7900
    assert sum(step.passes.backward for step in steps) == 1910


@pytest.mark.parametrize("name", sorted(protocols()))
def test_every_protocol_has_a_cost(name):
    protocol = protocols()[name]
    steps = bind(plan_attack(protocol.attack, protocol.threat_model.norm, 10), 10)
    costs = at_most([replace(PACKAGE, passes=one.passes) for one in steps], protocol.n_examples)
    whole = math.fsum(one.passes.forward for one in steps) * protocol.n_examples
    assert total(costs).forward == pytest.approx(whole)


def test_what_comes_before_the_attacks_is_no_more_than_foretold(network):
    for n in (1, 5, 30, 200):
        drawn = torch.rand(n, 1, 8, 8)
        images = make_image_set("drawn", drawn, network(drawn).argmax(1), CLASSES)
        steps = bind(plan_attack("pgd,steps=1", "Linf", CLASSES), CLASSES)
        how = {"seed": 0, "batch_size": 16, "device": "cpu"}
        found = evaluate(network, images, steps, ThreatModel("Linf", Fraction(0)), **how)
        assert found.forward_passes <= pace._CLEAN.forward * n
        assert found.backward_passes <= pace._CLEAN.backward * n


# paces


@pytest.fixture
def bench(network, images, monkeypatch):
    """A bench on which every component is run for a moment only."""
    monkeypatch.setattr(pace, "_BUDGET_S", 0.02)
    batch = Batch.at(images, torch.arange(N), torch.device("cpu"))
    linf = ThreatModel("Linf", Fraction(1, 10))
    return Bench(AttackedModel(network), batch, CLASSES, linf, 0)


@pytest.mark.parametrize("attack", [*EXACT, "fab-t,n_iter=100", "square", "pgd,steps=1"])
@pytest.mark.parametrize("backend", ["native", "auto"])
def test_a_pace_is_found_for_short_and_long_attacks(bench, attack, backend):
    (step,) = bind(plan_attack(attack, "Linf", CLASSES, backend), CLASSES)
    found = bench.of(step)
    assert found.seconds > 0
    assert 0 < found.images <= N
    assert found.passes.backward <= step.passes.backward
    if backend == "native":
        assert (found.passes, found.steps) == (step.passes, step.attack.attack.n_steps)


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("attack", "forward", "backward"), [("FGSM", 1, 1), ("PGD,steps=3", 3, 3), ("CW,steps=3", 3, 3)]
)
def test_passes_that_no_row_knows_are_counted_where_the_attack_ends(
    bench, monkeypatch, attack, forward, backward
):
    monkeypatch.setattr(pace, "_BUDGET_S", 60.0)
    norm = "L2" if "CW" in attack else "Linf"
    bench = replace(bench, threat_model=ThreatModel(norm, Fraction(1, 10)))
    (step,) = bind(plan_attack(f"torchattacks:{attack}", norm, CLASSES), CLASSES)
    assert step.is_guessed
    found = bench.of(step)
    assert not found.guessed
    assert forward <= found.passes.forward <= forward + 3
    assert found.passes.backward == backward


class Forever:
    """An attack of one's own that never ends, and catches what it can."""

    def __call__(self, model, images, labels, threat_model, *, seed, index):
        while True:
            try:
                model(images)
            except Exception:
                continue


def test_an_attack_that_does_not_end_is_ended_and_called_a_guess(bench):
    (step,) = bind(plan_attack("pgd", "Linf", CLASSES), CLASSES)
    endless = replace(step, attack=Forever(), passes=Passes(1.0), is_guessed=True)
    found = bench.of(endless)
    assert found.guessed
    assert found.passes.forward >= 1
    assert bench.model.on_pass() is None


# the whole


def test_a_plan_foretells_the_passes_of_the_evaluation(tmp_path):
    how = {"attack": "apgd-ce,n_iter=20 + square,n_queries=50", "n_examples": 24}
    how |= {"backend": "native", "norm": "L2", "eps": "3/4"}
    found = clbench.plan("simclr_at", **how)
    counts = clbench.evaluate("simclr_at", **how, probe=False).record.counts
    most, likely = total(found.most), total(found.about)
    assert counts.forward <= most.forward
    assert counts.backward <= most.backward
    assert likely.forward == pytest.approx(counts.forward, rel=0.25)
    assert found.guessed == ()
    assert (found.n, found.look.n, found.backend, found.batch_size) == (24, 24, "native", 24)
    assert found.precision == "float32"
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_that_square_may_need_fewer_passes():
    found = clbench.plan("simclr_at", attack="square,n_queries=50", n_examples=8)
    assert found.guessed == ("square",)


def test_an_evaluation_is_the_same_after_its_plan():
    how = {"attack": "apgd-ce,n_iter=3", "n_examples": 12}
    before = clbench.evaluate("simclr_at", **how, probe=False)
    clbench.plan("simclr_at", **how)
    after = clbench.evaluate("simclr_at", **how, probe=False)
    assert before.record.counts == after.record.counts
    assert (before.examples.adversarial == after.examples.adversarial).all()


@pytest.mark.parametrize(
    "how",
    [
        {"eps": "0"},
        {"n_examples": 1},
        {"batch_size": 3},
        {"norm": "L2", "eps": "1/2"},
        {"norm": "L1", "eps": "1", "attack": "pgd,steps=3"},
        {"attack": "pgd,steps=1"},
        {"attack": "square,n_queries=1", "backend": "native"},
        {"attack": "fab,n_iter=2", "backend": "native"},
        {"precision": "bfloat16"},
    ],
)
def test_whatever_can_be_evaluated_can_be_planned(monkeypatch, how):
    monkeypatch.setattr(pace, "_BUDGET_S", 0.02)
    how = {"attack": "apgd-ce,n_iter=2", "n_examples": 8} | how
    found = clbench.plan("simclr_at", **how)
    assert found.most[0].name == "clean"
    assert len(found.most) == len(found.about) == (1 if how.get("eps") == "0" else 2)
    assert all(math.isfinite(one.seconds) for one in (*found.most, *found.about))
    assert found.memory.total > found.memory.batch > 0
    assert found.precision == how.get("precision", "float32")


def test_a_network_that_is_always_wrong_is_planned_too(monkeypatch, network):
    monkeypatch.setattr(pace, "_BUDGET_S", 0.02)
    drawn = torch.rand(8, 1, 8, 8)
    wrong = (network(drawn).argmax(1) + 1) % CLASSES
    found = clbench.plan(network, data=(drawn, wrong), eps="8/255", attack="apgd-ce,n_iter=2")
    assert (found.look.right, found.look.standing) == (0, 0)
    assert total(found.about[1:]).forward == 0
    assert total(found.most[1:]).seconds > 0
