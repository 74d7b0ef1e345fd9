"""Where the features of a network are, and what stands in place of its last layer."""

import pytest
import torch
from torch import nn

from clbench.models.backbones.architecture import Architecture
from clbench.models.bn_folding import FoldedCopy, fold
from clbench.models.classifier import Behind, Features, Headed, find_features
from clbench.schema.errors import ModelError

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FLAT = 3 * 8 * 8


def rows(width=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(FLAT, width), nn.ReLU())


class Twice(nn.Module):
    """One layer that is called twice; its second answer is the network's."""

    def __init__(self):
        super().__init__()
        self.rows, self.layer = rows(), nn.Linear(6, 6)

    def forward(self, images):
        return self.layer(self.layer(self.rows(images)))


class Two(nn.Module):
    """Two classifiers, of which one is used."""

    def __init__(self):
        super().__init__()
        self.rows, self.aside, self.fc = rows(), nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, images):
        found = self.rows(images)
        self.aside(found)
        return self.fc(found)


class Averaged(Two):
    """The mean of two classifiers is the answer of none of them."""

    def forward(self, images):
        found = self.rows(images)
        return (self.aside(found) + self.fc(found)) / 2


NETWORKS = {
    "rows": (rows, Features("", 6)),
    "linear": (lambda: nn.Sequential(rows(), nn.Linear(6, 5)), Features("1", 6)),
    "linear alone": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(FLAT, 5)), Features("1", FLAT)),
    "pointwise": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 5, 1), nn.Flatten()),
        Features("1", 3),
    ),
    "maps of one pixel": (
        lambda: nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1)),
        Features("", 7),
    ),
    "dropped out": (
        lambda: nn.Sequential(rows(), nn.Linear(6, 5), nn.Dropout(0.5)),
        Features("1", 6),
    ),
    "scaled": (
        lambda: nn.Sequential(rows(), nn.Linear(6, 5), nn.LayerNorm(5)),
        Features("", 5),
    ),
    "twice": (Twice, Features("layer", 6)),
    "two": (Two, Features("fc", 6)),
    "averaged": (Averaged, Features("", 5)),
    "nested": (
        lambda: nn.Sequential(nn.Sequential(rows(), nn.Sequential(nn.Linear(6, 5)))),
        Features("0.1.0", 6),
    ),
}


def network_of(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return NETWORKS[name][0]().eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_what_enters_the_layer_that_answers(name):
    network = network_of(name)
    hooks = len(network._forward_hooks)
    assert find_features(network, IMAGES) == NETWORKS[name][1]
    assert not any(module._forward_hooks for module in network.modules())
    assert len(network._forward_hooks) == hooks


@pytest.mark.parametrize(
    "name", ["linear", "linear alone", "pointwise", "dropped out", "two", "nested"]
)
@pytest.mark.parametrize("n", [2, 9])
def test_a_new_last_layer_stands_where_the_old_one_was(name, n):
    network = network_of(name)
    layer = find_features(network, IMAGES).layer
    kept = {
        key: value.clone()
        for key, value in network.state_dict().items()
        if not key.startswith(layer + ".")
    }
    headed = Headed(network, layer)
    headed.reset_classifier(n)
    assert headed(IMAGES).shape == (4, n)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in kept.items())
    assert headed.get_classifier() is network.get_submodule(layer)


def test_a_classifier_behind_an_encoder_sees_its_features():
    encoder = network_of("maps of one pixel")
    network = Behind(encoder, 7, 3).eval()
    expected = network.fc(encoder(IMAGES).flatten(1))
    assert torch.equal(network(IMAGES), expected)


REFUSED = {
    "one number": lambda: nn.Sequential(nn.Flatten(), nn.Linear(FLAT, 1)),
    "maps": lambda: nn.Conv2d(3, 4, 3),
    "whole numbers": lambda: _Answer(torch.ones(4, 3, dtype=torch.long)),
    "one row": lambda: _Answer(torch.rand(1, 3)),
    "three axes": lambda: _Answer(torch.rand(4, 3, 2)),
    "a table": lambda: _Answer({"features": torch.rand(4, 3)}),
    "infinite": lambda: _Answer(torch.full((4, 3), torch.inf)),
    "probabilities": lambda: _Answer(torch.rand(4, 3).softmax(dim=1)),
    "their logarithms": lambda: _Answer(torch.rand(4, 3).log_softmax(dim=1)),
}


class _Answer(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


@pytest.mark.parametrize("name", REFUSED)
def test_what_are_no_features_is_refused(name):
    with pytest.raises(ModelError, match=r"the encoder (must return|returns)"):
        find_features(REFUSED[name](), IMAGES)


OTHERS = {
    "preact": Architecture("preact", "preactresnet10", {"layers": [1, 1], "width": 8}),
    "wide": Architecture("wide", "wrn_10_1", {"layers": [1, 1, 1], "width": 8, "stem": 8}),
    "convolutions": None,
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_copy_of_a_network_that_cannot_be_folded_follows_it(name):
    """In these ``bn1`` is not what follows ``conv1``, or nobody knows."""

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, images):
            return self.conv1(self.bn1(images)).flatten(1)

    architecture = OTHERS[name]
    network = architecture.build() if architecture else Crossed()
    copied = FoldedCopy(network)
    for k in range(2):
        network.train()(IMAGES + k)
        copied.refresh()
        network.eval()
        with torch.no_grad():
            assert torch.allclose(copied.network(IMAGES), network(IMAGES), atol=1e-6)
            assert torch.allclose(fold(network)(IMAGES), network(IMAGES), atol=1e-6)
