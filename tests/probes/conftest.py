import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.minibatches import MINIBATCH, minibatches, shuffled
from clbench.probes.similarity.representations import Inputs, Representation


@pytest.fixture(scope="session")
def slow():
    """The slow plain definitions of tests/reference/hsic.py."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference/hsic.py")))


@pytest.fixture(scope="session")
def seen_together():
    """Return a function of a number of examples: those of each minibatch, as they are shuffled."""

    def pieces(n, size=MINIBATCH):
        order = shuffled(n, seed=0)
        assert order.sort().values.equal(torch.arange(n))
        return [order[piece] for piece in minibatches(n, size)]

    return pieces


class Block(nn.Module):
    """A residual block that overwrites its own tensors, as the usual ones do."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x
        x = self.conv(x)
        x += shortcut
        return self.act(x)


class SmallResNet(nn.Module):
    """Two stages of two blocks; the stem's output is overwritten after it was read."""

    def __init__(self, width=3, n_classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.act1 = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.layer2 = nn.Sequential(Block(width), Block(width))
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(width, n_classes)

    def forward(self, x):
        x = self.act1(self.conv1(x))
        x = x.mul_(0.5)
        x = self.layer2(self.layer1(x))
        return self.fc(self.global_pool(x))


class _Views(nn.Module):
    """Needs features in the order of the axes, as many small networks do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).view(len(x), -1)


@pytest.fixture
def views():
    """Return a network that needs features in the order of the axes."""
    return _Views()


@pytest.fixture
def small_resnet():
    return SmallResNet().eval()


@pytest.fixture
def pairs_of_images():
    """Return a factory of clean images and slightly changed ones."""

    def make(n, shape=(1, 6, 6), change=0.2):
        clean = torch.rand(n, *shape)
        return clean, (clean + change * torch.randn(n, *shape)).clamp(0, 1)

    return make


CPU = torch.device("cpu")


def representation_of(name, features, layers=None):
    """A representation in which what flows is given: its network passes features on as they are."""
    return Representation(
        name, nn.Identity(), Inputs(features[:, :, None, None], "the same"), layers or {}
    )


@pytest.fixture
def cka_of():
    """Return a function from two arrays of features to the CKA that the engine finds."""

    def cka(x, y, size=64, **options):
        options = {"precision": "float64"} | options
        representations = [representation_of("x", x), representation_of("y", y)]
        found = compare(representations, [("x", "y")], device=CPU, batch_size=size, **options)
        return found.matrix("x", "y").entry("logits", "logits")

    return cka


@pytest.fixture
def related():
    """Return a factory of two representations that share part of what they say."""

    def make(n=64, d=40, dtype=torch.float64):
        x = torch.randn(n, d, dtype=dtype)
        return x, x @ torch.randn(d, 30, dtype=dtype) + 4 * torch.randn(n, 30, dtype=dtype)

    return make
