"""Networks that give no gradient: attacks that need one are refused, one without is run rightly."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

import clbench
from clbench.schema.errors import BadValueError
from clbench.schema.records import CKA_COLUMNS, NO_GRADIENT
from tests.models.strange import (
    Around,
    ForInference,
    Plain,
    ReturningStep,
    UnderNoGrad,
    plain,
)

SOME = 20
SIGNS = {"no_derivative", "zero_gradient", "robust_at_any_eps"}
"""What is raised where there is no gradient: by the network, and by short attacks that have one."""

SQUARE = "square,n_queries=60"


def images():
    return torch.rand(SOME, 1, 8, 8, generator=torch.Generator().manual_seed(3))


class ByData(Plain):
    """Uses the values of what it computes, as code of before 2018 does."""

    def forward(self, x):
        return super().forward(x.data)


class InNumpy(Plain):
    """Has its classifier in numpy."""

    def forward(self, x):
        features = self.norm(self.conv(x)).relu().flatten(1).detach().numpy()
        weight, bias = (one.detach().numpy() for one in (self.fc.weight, self.fc.bias))
        return torch.from_numpy(features @ weight.T + bias)


def scripted_without_gradient():
    with torch.no_grad():
        return torch.jit.script(UnderNoGradInScript().eval())


class UnderNoGradInScript(Plain):
    def forward(self, x):
        with torch.no_grad():
            return self.fc(self.norm(self.conv(x)).relu().flatten(1))


BLIND = {
    "detached images": lambda: Around(torch.Tensor.detach),
    "detached logits": lambda: Around(after=torch.Tensor.detach),
    "by data": ByData,
    "under no_grad": UnderNoGrad,
    "in inference mode": ForInference,
    "logits made in inference mode": lambda: Around(after=lambda z: z.detach().clone()),
    "through numpy": lambda: Around(lambda x: torch.from_numpy(x.numpy().copy())),
    "through numpy, detached": lambda: Around(lambda x: torch.from_numpy(x.detach().numpy())),
    "classifier in numpy": InNumpy,
    "without a derivative": lambda: Around(ReturningStep.apply),
    "scripted under no_grad": scripted_without_gradient,
    "exact copies of features": lambda: Around(after=lambda z: torch.tensor(z.tolist())),
}
"""Each answers as the plain network does."""


def frozen_backbone():
    network = plain()
    network.conv.requires_grad_(requires_grad=False)
    return network


@torch.no_grad()
def made_under_no_grad():
    return plain()


SEEING = {
    "parameters that want no gradient": lambda: plain().requires_grad_(requires_grad=False),
    "a frozen backbone": frozen_backbone,
    "scripted and frozen": lambda: torch.jit.freeze(torch.jit.script(plain())),
    "in double precision": lambda: plain().double(),
    "detached in a branch of no weight": lambda: Around(after=lambda z: z + 0 * z.detach()),
    "a buffer without gradient": lambda: Around(lambda x: x + torch.zeros(1, 1, 8, 8)),
    "made under no_grad": made_under_no_grad,
}
"""Ordinary: their gradient reaches the images."""


def evaluated(network, attack=SQUARE, **given):
    with torch.no_grad():
        labels = plain()(images()).argmax(1)
    return clbench.evaluate(network, data=(images(), labels), eps="1/10", attack=attack, **given)


@pytest.fixture(scope="module")
def wanted():
    done = evaluated(plain(), probe=False)
    assert 0 < done.record.measure("robust_acc").value < 1
    return list(done.examples.broken_by)


@pytest.mark.parametrize("attack", ["autoattack", "pgd,steps=2", "apgd-ce + square", "fast"])
def test_attacks_with_a_gradient_are_refused_and_one_without_is_named(attack):
    with pytest.raises(BadValueError) as caught:
        evaluated(BLIND["detached images"](), attack)
    message = str(caught.value)
    assert "no gradient of the network reaches its images" in message
    assert f"got attack {attack!r}" in message
    assert "use --attack square" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", BLIND)
@pytest.mark.filterwarnings("ignore")
def test_the_attack_that_is_named_finds_what_it_finds_at_a_network_with_a_gradient(name, wanted):
    with pytest.raises(BadValueError, match="use --attack square"):
        evaluated(BLIND[name](), "pgd,steps=2")
    done = evaluated(BLIND[name]())
    assert list(done.examples.broken_by) == wanted
    assert "no_derivative" in done.record.flag_names
    assert set(done.record.flag_names) <= SIGNS
    columns = [done.record.measure(column) for column in CKA_COLUMNS]
    assert all(np.isnan(one.value) and one.reason == NO_GRADIENT for one in columns)


@pytest.mark.parametrize("name", SEEING)
@pytest.mark.filterwarnings("ignore")
def test_ordinary_networks_are_attacked_with_their_gradient(name):
    assert evaluated(SEEING[name](), "pgd,steps=2", probe=False).record.flags == ()


@pytest.mark.filterwarnings("ignore")
def test_a_network_in_eight_bits_is_attacked_by_square_alone():
    def network():
        inner = plain()
        inner.fc = quantize_dynamic(nn.Sequential(inner.fc), {nn.Linear}, torch.qint8)[0]
        return inner

    with pytest.raises(BadValueError, match="use --attack square"):
        evaluated(network(), "autoattack")
    record = evaluated(network(), probe=False).record
    # it is quantised by the largest feature of a batch
    assert {"no_derivative", "batch_dependent"} <= set(record.flag_names)
    assert set(record.flag_names) <= SIGNS | {"batch_dependent"}
    assert 0 < record.measure("robust_acc").value < 1


def test_plan_and_probe_refuse_it_too():
    labels = torch.arange(SOME) % 4
    data = (images(), labels)
    with pytest.raises(BadValueError, match="use --attack square"):
        clbench.plan(UnderNoGrad(), data=data, eps="1/10")
    given = {"data": data, "eps": "1/10"}
    with pytest.raises(BadValueError, match=r"model 'blind'.*--comparison clean-clean"):
        clbench.probe({"blind": UnderNoGrad()}, **given)
    same = clbench.probe({"a": UnderNoGrad(), "b": plain()}, comparisons=["cross-clean"], **given)
    found = same.find("cross-clean", "a", "b")
    assert found.entry("logits", "logits", "logits").value == pytest.approx(1)
