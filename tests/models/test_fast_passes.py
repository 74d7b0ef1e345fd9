"""Networks are attacked as a graph only where nothing is lost by it."""

import copy

import pytest
import timm
import torch
import torchvision
from timm.models.resnet import BasicBlock
from torch import nn

from clbench.models import build_backbone
from clbench.models.backbones.preact_resnet import PreActResNet
from clbench.models.backbones.resnet import CifarResNet
from clbench.models.backbones.wide_resnet import WideResNet
from clbench.models.fast_passes import Frozen, fast_passes
from clbench.models.normalization import Normalise

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def shaken(network):
    """Return a network whose batch norms do something."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def normalised():
    network = timm.create_model("resnet18", num_classes=10)
    network.register_forward_pre_hook(Normalise((0.5, 0.4, 0.3), (0.2, 0.2, 0.3)))
    return network


FROZEN = {
    "ours": lambda: build_backbone("resnet18_w16", 3, 10),
    "a plain CNN": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7200, 10)
    ),
    "pre-activation": lambda: timm.create_model("resnetv2_50", num_classes=10),
    "timm's": lambda: timm.create_model("resnet26", num_classes=10),
    "normalised": normalised,
    "torchvision's": lambda: torchvision.models.resnet18(num_classes=10),
    "padded by 2, no ReLU in the stem": lambda: CifarResNet(
        BasicBlock, (1, 1, 1, 1), width=8, stem_padding=2, stem_relu=False
    ),
    "ours, pre-activation": lambda: PreActResNet((1, 1, 1, 1), width=8),
    "ours, wide": lambda: WideResNet((1, 1, 1), width=8, stem=4),
    "mobile": lambda: torchvision.models.mobilenet_v3_small(num_classes=10),
}


@pytest.mark.parametrize("name", FROZEN)
def test_networks_of_known_layers_become_equal_graphs(name):
    network = shaken(FROZEN[name]())
    before = copy.deepcopy(network.state_dict())
    fast = fast_passes(network, IMAGES)
    assert isinstance(fast, Frozen)
    assert not any("batch_norm" in node.kind() for node in fast.graph.inlined_graph.nodes()) or (
        name in ("pre-activation", "ours, pre-activation", "ours, wide")
    )
    other = torch.rand(6, 3, 32, 32)
    with torch.no_grad():
        expected, found = network(other), fast(other)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


class Counting(nn.Module):
    calls = 0

    def forward(self, images):
        self.calls += 1
        return images.flatten(1)[:, :10]


class Deciding(nn.Sequential):
    def forward(self, images):
        return super().forward(images if images.mean() > 0.1 else -images)


def hooked():
    network = build_backbone("resnet10_w16", 3, 10)
    network.register_forward_hook(lambda _module, _inputs, logits: logits.round())
    return network


def patched():
    network = build_backbone("resnet10_w16", 3, 10)
    network.forward = lambda images: images.flatten(1)[:, :10]
    return network


AS_IT_IS = {
    "code of a user's": Counting,
    "a decision": lambda: Deciding(nn.Flatten(), nn.Linear(3072, 10)),
    "a hook": hooked,
    "another forward": patched,
    "a script": lambda: torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("name", AS_IT_IS)
def test_other_networks_run_as_they_are(name):
    network = AS_IT_IS[name]().eval()
    assert not isinstance(fast_passes(network, IMAGES), Frozen)


def test_a_network_in_training_mode_runs_as_it_is():
    network = build_backbone("resnet10_w16", 3, 10).train()
    assert fast_passes(network, IMAGES) is network


def test_a_graph_that_answers_otherwise_is_not_taken(monkeypatch):
    import clbench.models.fast_passes

    real = clbench.models.fast_passes._graphs

    def spoilt(network, images):
        with torch.no_grad():
            network.fc.weight[3] += 0.01
        return real(network, images)

    network = shaken(build_backbone("resnet10_w16", 3, 10))
    assert isinstance(fast_passes(network, IMAGES), Frozen)
    monkeypatch.setattr(clbench.models.fast_passes, "_graphs", spoilt)
    folded = fast_passes(network, IMAGES)
    assert not isinstance(folded, Frozen)
    assert folded is not network


def test_a_graph_without_gradient_that_answers_otherwise_is_not_taken(monkeypatch):
    import clbench.models.fast_passes

    real = clbench.models.fast_passes._graphs
    network = shaken(build_backbone("resnet10_w16", 3, 10))
    other = shaken(build_backbone("resnet10_w16", 3, 10))

    def spoilt(network, images):
        return real(network, images)[0], real(other, images)[1]

    monkeypatch.setattr(clbench.models.fast_passes, "_graphs", spoilt)
    assert not isinstance(fast_passes(network, IMAGES), Frozen)


@pytest.mark.parametrize("name", ["ours", "a plain CNN", "timm's", "mobile"])
def test_neighbours_change_no_bit_of_an_answer(name):
    fast = fast_passes(shaken(FROZEN[name]()), IMAGES)
    assert isinstance(fast, Frozen)
    order = torch.tensor([3, 0, 5, 3, 1, 2])
    with torch.no_grad():
        assert torch.equal(fast(IMAGES[order]), fast(IMAGES)[order])


def test_a_folded_copy_that_answers_otherwise_is_not_taken_either(monkeypatch):
    network = shaken(build_backbone("resnet10_w16", 3, 10))
    spoilt = network.folded()
    with torch.no_grad():
        spoilt.fc.weight[3] += 0.01
    monkeypatch.setattr("clbench.models.fast_passes.faster_equal", lambda _network: spoilt)
    assert fast_passes(network, IMAGES) is network


def test_a_graph_gives_the_same_bits_every_time():
    fast = fast_passes(shaken(build_backbone("resnet18_w16", 3, 10)), IMAGES)
    found = []
    for _ in range(6):
        leaf = IMAGES.clone().requires_grad_()
        logits = fast(leaf)
        (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), leaf)
        with torch.no_grad():
            found.append((logits.detach(), gradient, fast(IMAGES)))
    assert all(
        torch.equal(one, other)
        for some in found[1:]
        for one, other in zip(some, found[0], strict=True)
    )
