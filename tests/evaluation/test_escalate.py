"""Flags ask for another attack, and the lower number is reported; both have records."""

import logging

import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.grammar import read_attack
from clbench.schema.errors import BadValueError
from clbench.schema.flags import FLAGS, raised, remedies

N = 16
IMAGES = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Stepped(nn.Module):
    """Sees a few levels of brightness, so that no gradient is left."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, images):
        return self.layers((images * 3).round() / 3)


def evaluated(tmp_path, network, attack, **settings):
    network = network.eval()
    with torch.no_grad():
        labels = network(IMAGES).argmax(1)
    told = []
    done = clbench.evaluate(
        network, data=(IMAGES, labels), eps="1/4", attack=attack, probe=False, out=tmp_path,
        escalate=True, on_record=told.append, **settings,
    )  # fmt: skip
    return done, told


def test_the_attack_that_a_flag_asks_for_is_run_and_the_lower_number_is_returned(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        done, told = evaluated(tmp_path, Stepped(), "pgd,steps=3,start=zero")
    first, *others = [record.measure("robust_acc").value for record in told]
    assert others
    assert min(others) < first
    assert done.record.measure("robust_acc").value == min(first, *others)
    assert len(list(tmp_path.rglob("records/**/*.json"))) == len(told)
    assert any("which flags doubt" in line for line in caplog.messages)


def test_without_a_flag_nothing_else_is_run_which_is_told(tmp_path, caplog):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    with caplog.at_level(logging.INFO, logger="clbench"):
        done, told = evaluated(tmp_path, plain, "pgd,steps=20")
    assert "no other attack is run for Sequential: it has no flags" in caplog.messages
    assert done.record.flags == ()
    assert told == [done.record]


def test_shards_cannot_escalate(tmp_path):
    with pytest.raises(
        BadValueError, match=r"^flags are of whole runs, got escalate with shard 1/2"
    ):
        evaluated(tmp_path, Stepped(), "pgd,steps=3", shard="1/2")


def test_every_remedy_is_an_attack_that_is_not_run_twice():
    for name, row in FLAGS.items():
        for attack in remedies([raised(name)], "pgd") if row.remedy else ():
            assert read_attack(attack, "Linf", 10).components
            assert remedies([raised(name)], attack) == ()
