"""A network that is on several devices stays there; one that is on one is moved as a whole.

The device "meta", whose tensors have no values, stands for the second one: nothing computes there.
"""

import pytest
import torch
from torch import nn

import clbench
from clbench.models.several_devices import WhereItIs, placed
from tests.models.strange import Plain, plain

CPU, META = torch.device("cpu"), torch.device("meta")


class Spread(Plain):
    """Has a part on another device, through which no image of these goes."""

    def __init__(self, *, first=False):
        super().__init__()
        self.far = nn.Linear(2, 2, device="meta")
        if first:
            self.conv, self.far = self.far, self.conv

    def forward(self, x):
        assert x.device == CPU
        return super().forward(x)


IMAGES = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(3))
MOVES = {
    "to": lambda network: network.to("meta"),
    "cpu": lambda network: network.cpu(),
    "double": lambda network: network.double(),
    "to a type": lambda network: network.to(torch.float16),
    "to a layout": lambda network: network.to(memory_format=torch.channels_last),
    "half": lambda network: network.half(),
}


@pytest.mark.parametrize("name", MOVES)
def test_it_is_neither_moved_nor_converted(name, caplog):
    network = Spread().eval()
    before = {key: (one.device, one.dtype) for key, one in network.state_dict().items()}
    found = placed(network, META, "mine")
    assert isinstance(found, WhereItIs)
    assert "mine stays where it is, on cpu, meta" in caplog.text
    assert MOVES[name](found) is found
    assert {key: (one.device, one.dtype) for key, one in network.state_dict().items()} == before
    assert torch.equal(found(IMAGES), plain()(IMAGES))


def test_images_go_to_where_it_begins():
    assert placed(Spread().eval(), CPU, "mine").begins_on == CPU
    assert placed(Spread(first=True).eval(), CPU, "mine").begins_on == META


@pytest.mark.parametrize("make", [plain, lambda: plain().double(), nn.Flatten])
def test_a_network_on_one_device_is_moved(make):
    network = make()
    found = placed(network, META, "mine")
    assert found is network
    assert {one.device for one in found.parameters()} <= {META}


def test_its_mode_gradients_and_modules_are_the_networks_own():
    network = Spread().eval()
    found = WhereItIs(network, CPU)
    assert not found.training
    leaf = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(found(leaf).sum(), leaf)
    assert gradient.abs().sum() > 0
    assert next(name for name, _ in found.named_parameters()).startswith("network.conv")


def test_it_is_evaluated_as_the_same_network_on_one_device():
    labels = plain()(IMAGES).argmax(1)
    given = {"data": (IMAGES, labels), "eps": "3/100", "attack": "pgd,steps=3"}
    one, other = (
        clbench.evaluate(network, **given).record for network in (WhereItIs(plain(), CPU), plain())
    )
    assert [m.value for m in one.measures][:2] == [m.value for m in other.measures][:2]
    assert one.flags == ()
