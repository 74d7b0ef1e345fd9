"""How far an attack is inside of one batch, which may take hours."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation import attack_run, run
from clbench.schema.threat_model import ThreatModel

N = 6
ATTACKS = ("square,n_queries=60", "pgd,steps=20", "apgd-ce,n_iter=20", "fab-t,n_iter=5")


@pytest.fixture
def evaluate():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    images = torch.rand(N, 1, 8, 8)
    image_set = make_image_set("few", images, network(images).argmax(1), 4)

    def evaluate(text, on_progress=None):
        return run.evaluate(
            network,
            image_set,
            bind(plan_attack(text, "Linf", 4), 4),
            ThreatModel("Linf", Fraction(1, 1000)),
            seed=0,
            batch_size=N,
            device="cpu",
            on_progress=on_progress,
        )

    return evaluate


@pytest.mark.parametrize("text", ATTACKS)
def test_a_batch_under_way_is_told_by_name_and_grows(evaluate, monkeypatch, text):
    monkeypatch.setattr(attack_run, "TELL_EVERY_S", 0.0)
    told = []
    evaluate(text, told.append)
    under_way = [one for one in told if one.within]
    assert len(under_way) > 3
    assert {(one.attack, one.step, one.n_steps) for one in under_way} == {
        (text.partition(",")[0], 1, 1)
    }
    decided = [one.done for one in under_way]
    assert decided == sorted(decided)
    assert decided[0] == 0
    shares = [one.done + one.within for one in under_way]
    assert shares == sorted(shares)
    assert 0 < shares[0] < N / 4
    assert N / 2 < shares[-1] < N
    assert all(one.eta is not None and one.eta >= 0 for one in under_way)


def test_who_is_told_changes_nothing(evaluate, monkeypatch):
    text = " + ".join(ATTACKS)
    plain = evaluate(text)
    monkeypatch.setattr(attack_run, "TELL_EVERY_S", 0.0)
    told = evaluate(text, lambda _progress: None)
    assert told.broken_by == plain.broken_by
    assert (told.forward_passes, told.backward_passes) == (
        plain.forward_passes,
        plain.backward_passes,
    )


def test_nothing_is_told_in_between_where_a_batch_is_quick(evaluate):
    told = []
    evaluate("pgd,steps=1", told.append)
    assert not [one for one in told if one.within]
