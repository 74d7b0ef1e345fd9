"""Encoders of all kinds, a few digits, and heads of one or two epochs."""

import textwrap

import numpy as np
import pytest
import torch

import clbench
from clbench.data.load import training_set
from clbench.models.backbones.architecture import Architecture
from clbench.models.importing.write import write_model
from clbench.runtime.hashing import state_sha256
from clbench.schema.imported import ImportedModel

SHORT = {
    "finetuning.epochs": "2",
    "finetuning.batch_size": "16",
    "finetuning.optimizer.milestones": "[1]",
    "finetuning.validate_every": "1",
    "validation.steps": "1",
}
STEPS = {"slf": {}, "alf": {"finetuning.adversary.steps": "1"}}
STEPS["aff"] = STEPS["alf"]

NETS = '''
import torch
from torch import nn
from parts import WIDTH, body


def seeded(build):
    def make():
        torch.manual_seed(7)
        return build()
    return make


class Maps(nn.Module):
    """Features with two axes of size one, as torchvision's pooling leaves them."""

    def __init__(self):
        super().__init__()
        self.body, self.pool = body(), nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        return self.pool(self.body(images))


class Direct(nn.Module):
    """A parameter of the network itself, as a ViT's token."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(WIDTH))
        self.inner = Maps()

    def forward(self, images):
        return self.inner(images).flatten(1) * self.token


def rows():
    return nn.Sequential(Maps(), nn.Flatten())


features = seeded(rows)
maps = seeded(Maps)
direct = seeded(Direct)
linear = seeded(lambda: nn.Sequential(rows(), nn.Linear(WIDTH, 5)))
without_bias = seeded(lambda: nn.Sequential(rows(), nn.Linear(WIDTH, 5, bias=False)))
pointwise = seeded(lambda: nn.Sequential(Maps(), nn.Conv2d(WIDTH, 5, 1), nn.Flatten()))
projector = seeded(
    lambda: nn.Sequential(rows(), nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 3))
)
normalised = seeded(
    lambda: nn.Sequential(rows(), nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 5)))
)
probabilities = seeded(
    lambda: nn.Sequential(rows(), nn.Linear(WIDTH, 5), nn.Softmax(dim=1))
)
log_probabilities = seeded(
    lambda: nn.Sequential(rows(), nn.Linear(WIDTH, 5), nn.LogSoftmax(dim=1))
)
unpooled = seeded(body)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = rows()

    def forward(self, images):
        found = self.inner(images)
        return found, found


class Nothing(Pair):
    def forward(self, images):
        return self.inner(images) * float("nan")


class Cut(Pair):
    def forward(self, images):
        return self.inner(images.detach()).detach()


class Uncopied(Pair):
    def forward(self, images):
        return self.inner(images)

    def __deepcopy__(self, memo):
        raise TypeError("cannot be copied")


class Fixed(Pair):
    def forward(self, images):
        assert images.shape[2:] == (28, 28), "28x28 only"
        return self.inner(images)


pair, nothing, cut, uncopied, fixed = map(seeded, (Pair, Nothing, Cut, Uncopied, Fixed))
'''
PARTS = """
from torch import nn

WIDTH = 12


def body():
    return nn.Sequential(nn.Conv2d(1, WIDTH, 3, 2), nn.BatchNorm2d(WIDTH), nn.ReLU())
"""


@pytest.fixture(scope="session")
def nets(tmp_path_factory):
    """The path of a file with functions that make networks, and of what it imports."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "parts.py").write_text(textwrap.dedent(PARTS))
    (folder / "nets.py").write_text(NETS)
    return folder / "nets.py"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A file of a few digits."""
    few = training_set("digits", "train").head(64)
    file = tmp_path_factory.mktemp("pictures") / "few.npz"
    np.savez(file, x=few.images.permute(0, 2, 3, 1).numpy(), y=few.labels.numpy())
    return file


CIFAR = {"block": "basic", "layers": [1, 1, 1, 1], "width": 8, "in_chans": 1}
ARCHITECTURES = {
    "narrow": Architecture("cifar", "resnet10_w8_cifar", CIFAR | {"num_classes": 0}),
    "with classes": Architecture("cifar", "resnet10_w8_cifar", CIFAR | {"num_classes": 4}),
    "preact": Architecture(
        "preact", "preactresnet10", {"layers": [1, 1], "width": 8, "in_chans": 1, "num_classes": 0}
    ),
    "wide": Architecture(
        *("wide", "wrn_10_1"),
        {"layers": [1, 1, 1], "width": 8, "stem": 8, "in_chans": 1, "num_classes": 0},
    ),
    "vit": Architecture(
        *("timm", "vit_tiny_patch16_224"),
        {"patch_size": 4, "img_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
        | {"in_chans": 1, "num_classes": 0},
    ),
    "timm": Architecture("timm", "resnet10t", {"in_chans": 1, "num_classes": 0}),
}


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    """Return a function that makes the folder of an imported network, a random one."""

    def make(name, mean=0.0, std=1.0):
        architecture = ARCHITECTURES[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            network = architecture.build()
            if name != "vit":
                network.train()(torch.rand(16, 1, 8, 8))
        folder = tmp_path_factory.mktemp("imported") / name.replace(" ", "_")
        entry = ImportedModel(
            name=folder.name,
            family=architecture.family,
            architecture=architecture.name,
            options=architecture.options,
            n_classes=architecture.options["num_classes"],
            mean=(mean,),
            std=(std,),
            decided={},
            dialect="torch",
            evidence="its names",
            branch="",
            left_out=(),
            source_file="some.pt",
            file_sha256="",
            weights_sha256=state_sha256(network.eval()),
        )
        write_model(folder, network, entry)
        return folder

    return make


@pytest.fixture(scope="session")
def fit(pictures):
    """Return a function that fits heads shortly on a few digits; keyword arguments replace."""

    def fit_shortly(encoder, out, method="slf", *, changes=None, **given):
        given = {"data": [pictures], "dataset": "digits", "seeds": 1} | given
        short = SHORT | STEPS.get(method, {}) | (changes or {})
        return clbench.fit_head(str(encoder), method=method, out=out, changes=short, **given)

    return fit_shortly
