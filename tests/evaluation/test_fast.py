"""First looks, what goes on from them, and what is more than AutoAttack."""

import csv

import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.grammar import CASCADES, FINISHED, finishing, read_attack
from clbench.schema.errors import BadValueError

EPS = "1/25"


class Safe(nn.Module):
    """Logits that no perturbation changes much, with a gradient all the same."""

    def forward(self, images):
        flat = images.flatten(1)
        logits = torch.zeros(len(images), 10).index_fill(1, torch.tensor([3]), 50.0)
        return logits + 0.01 * flat[:, :10]


OF_AUTOATTACK = 9_762
"""Passes that AutoAttack standard makes with an image that nothing breaks."""

WITH_GRADIENT = 1_910
"""How many of them have a gradient."""


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    images = torch.rand(6, 1, 8, 8)
    labels = network(images).argmax(1)
    labels[0] = (labels[0] + 1) % 10
    return {"model": network, "data": (images, labels), "eps": EPS, "probe": False}


@pytest.fixture(scope="module")
def looked(setting, tmp_path_factory):
    out = tmp_path_factory.mktemp("looked")
    return out, clbench.evaluate(**setting, attack="fast", out=out)


@pytest.fixture(scope="module")
def finished(setting, looked):
    return clbench.evaluate(**setting, finish=True, save_adversarial=True, out=looked[0])


@pytest.fixture(scope="module")
def beside(setting, looked):
    return clbench.evaluate(**setting, attack="autoattack", out=looked[0])


def rows(out):
    with (out / "leaderboard.csv").open() as file:
        return {row["attack"]: row for row in csv.DictReader(file)}


def test_a_first_look_is_an_upper_bound_without_a_rank(looked, finished):
    out, evaluation = looked
    assert evaluation.record.flag_names == ("upper_bound",)
    assert not evaluation.record.unreliable
    assert evaluation.record.is_upper_bound
    table = rows(out)
    assert table["fast"]["rank"] == ""
    assert table["fast"]["flags"] == "upper_bound"
    assert table[FINISHED]["rank"] == "1"
    assert table[FINISHED]["flags"] == ""


def test_what_a_first_look_broke_stays_broken(looked, finished):
    before, after = looked[1].examples, finished.examples
    broken = before.broken_by != ""
    assert 2 <= broken.sum() <= 5
    assert (after.broken_by[broken] == before.broken_by[broken]).all()
    assert (after.adv_pred[broken] == before.adv_pred[broken]).all()


def test_images_are_those_that_the_first_look_found(setting, finished):
    images, labels = setting["data"]
    hit = torch.from_numpy(finished.examples.broken_by == "pgd-targets")
    with torch.no_grad():
        says = setting["model"](finished.adversarial).argmax(1)
    assert (finished.adversarial - images).abs().max() <= 1 / 25 + 1e-6
    assert hit.any()
    assert (says[hit] != labels[hit]).all()


def test_going_on_ends_as_the_whole_cascade_does(setting, looked, finished, tmp_path):
    text = "fast + autoattack"
    whole = clbench.evaluate(**setting, attack=text, save_adversarial=True, out=tmp_path)
    assert whole.record.attack == finished.record.attack
    assert whole.record.attack.name == FINISHED
    assert whole.examples.to_bytes() == finished.examples.to_bytes()
    assert whole.record.measures == finished.record.measures
    made = [one.record.counts.forward for one in (looked[1], finished, whole)]
    of_the_broken = 226 * int((looked[1].examples.broken_by == "pgd-targets").sum())
    assert made[0] < made[2]
    assert abs(made[1] - made[2]) <= of_the_broken + 10 * len(setting["data"][1])


def test_a_plain_autoattack_takes_nothing_from_a_first_look(looked, finished, beside):
    assert beside.record.run.hash not in (looked[1].record.run.hash, finished.record.run.hash)
    assert set(beside.examples.broken_by) <= {"", "clean", *beside.record.components}
    robust = int((beside.examples.broken_by == "").sum())
    counts = beside.record.counts
    assert counts.backward >= WITH_GRADIENT * robust


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "no finished fast evaluation to go on from"),
        ({"eps": "1/30"}, "no finished fast evaluation to go on from"),
        ({"n_examples": 5}, "no finished fast evaluation to go on from"),
        ({"out": None}, "in 'None'"),
        ({"attack": "pgd"}, "goes on from fast with autoattack, got --attack 'pgd'"),
        ({"attack": "autoattack + pgd"}, "got --attack 'autoattack \\+ pgd'"),
        ({"attack": "best"}, "got --attack 'best'"),
    ],
)
def test_without_a_first_look_there_is_nothing_to_finish(setting, looked, change, message):
    with pytest.raises(BadValueError, match=message):
        clbench.evaluate(**{**setting, "finish": True, "out": looked[0], **change})


def test_a_first_look_made_with_another_torch_is_not_gone_on_from(setting, tmp_path, monkeypatch):
    clbench.evaluate(**setting, attack="fast", out=tmp_path)
    monkeypatch.setattr(
        "clbench.evaluation.session.versions", lambda *_others: {"clbench": "0", "torch": "9"}
    )
    with pytest.raises(BadValueError, match=r"here is clbench 0 and torch 9 and cpu; run it again"):
        clbench.evaluate(**setting, finish=True, out=tmp_path)


@pytest.mark.parametrize("text", [None, "fast", "autoattack", "standard", "fast+autoattack"])
def test_what_may_be_said_beside_finish(text):
    assert finishing(text) == FINISHED


@pytest.mark.parametrize(("attack", "share"), [("fast", 0.05), ("apgd-margin + pgd-targets", 0.5)])
def test_what_it_costs_beside_autoattack(attack, share):
    """``best`` is AutoAttack and the others that are named here."""
    data = torch.rand(2, 1, 8, 8), torch.tensor([3, 3])
    done = clbench.evaluate(Safe(), data=data, eps="1/255", attack=attack, probe=False)
    assert (done.examples.broken_by == "").all()
    assert done.record.counts.forward + done.record.counts.backward <= share * OF_AUTOATTACK * 2


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize(("name", "place"), [("best", 0), (FINISHED, 1)])
def test_others_hold_all_that_autoattack_does(name, place, norm):
    standard, more = (read_attack(one, norm, 10).parameters for one in ("autoattack", name))
    assert list(more)[place : place + len(standard)] == list(standard)
    assert {key: more[key] for key in standard} == standard
    assert len(more) > len(standard)
    assert len({read_attack(one, norm, 10).hash for one in CASCADES}) == len(CASCADES)
