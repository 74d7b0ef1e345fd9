"""Every dialect, as its project writes it: recognised, and the same function before and after."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import pytest
import torch

import clbench
from clbench.models.checkpoints.dialects import DIALECTS
from clbench.models.load import load_model
from tests.models import plain_forwards as plain
from tests.models.dialect_files import FACTS, content, facts, tables

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
KUANGLIU = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
NONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

torch_resnet = partial(plain.resnet, shortcut=("downsample.0", "downsample.1"))
dual = partial(plain.resnet, shortcut=("downsample.conv", "downsample.bn"))
ADV = {"branch": ".bn_list.1"}


class Row(NamedTuple):
    """How a project computes: a function of the tables and of normalised images.

    ``before`` is what its loader normalises by, or the names of mean and deviation in the table.
    """

    forward: object
    before: tuple
    side: int = 32
    by_hand: Mapping = MappingProxyType({})


def first(filled):
    return next(iter(filled.values()))


def of(function, *args, **options):
    """Return a row's forward: of the first table of a file."""
    return lambda filled, x: function(first(filled), x, *args, **options)


def advcl_slf(filled, x):
    features = plain.resnet(filled["model"], x)
    return plain.linear(filled["classifier"], "fc", features)


def of_teacher(function, *args, **options):
    return lambda filled, x: function(filled["teacher"], x, *args, **options)


SEQUENTIAL = {"stem": ("0", "1"), "stages": ("4", "5", "6", "7")}
SMALL = {"stem": ("0", "1"), "stages": ("2", "3", "4", "5"), "stem_relu": False}
HAND_NONE = {"mean": NONE[0], "std": NONE[1]}

ROWS = {
    "rocl": Row(of(plain.resnet, "module."), NONE),
    "acl": Row(of(dual, **ADV), ("normalize.mean", "normalize.std")),
    "acl-tuned": Row(of(torch_resnet, "", "fc"), ("normalize.mean", "normalize.std")),
    "dynacl": Row(of(dual, **ADV), ("normalize.mean", "normalize.std")),
    "dynacl-aff": Row(of(dual, "", "fc", **ADV), ("normalize.mean", "normalize.std")),
    "dynacl-training": Row(
        of(dual, "encoder_k.", **ADV), ("encoder_k.normalize.mean", "encoder_k.normalize.std")
    ),
    "advcl": Row(of(dual, "module.", **ADV), NONE),
    "advcl-slf": Row(advcl_slf, NONE),
    "deacl": Row(
        of(torch_resnet, "backbone.", padding=2),
        ("backbone.normalize.mean", "backbone.normalize.std"),
    ),
    "robustbench-resnet": Row(of(plain.resnet, "", "linear"), ("mu", "sigma")),
    "robustbench-wide": Row(of(plain.wide), ("mu", "sigma")),
    "madrylab": Row(
        of(plain.resnet, "module.model.", "module.model.linear"),
        ("module.normalizer.new_mean", "module.normalizer.new_std"),
    ),
    "fast-adversarial": Row(of(plain.preact, shortcut_of="input"), CIFAR),
    "fast-adversarial-imagenet": Row(of(torch_resnet, "module.", "module.fc"), IMAGENET, side=64),
    "trades": Row(of(plain.wide), NONE),
    "awp-best": Row(of(plain.preact, "module.", shortcut_of="activated"), CIFAR),
    "awp": Row(of(plain.wide, "module."), NONE, by_hand=HAND_NONE),
    "pytorch-cifar": Row(of(plain.resnet, "module.", "module.linear"), KUANGLIU),
    "cifar-resnet": Row(of(plain.resnet, "", "linear"), NONE, by_hand=HAND_NONE),
    "moco-v1": Row(of(torch_resnet, "module.encoder_q."), IMAGENET, side=64),
    "moco-v2": Row(of(torch_resnet, "module.encoder_q."), IMAGENET, side=64),
    "moco-v3-vit": Row(of(plain.vit, "module.base_encoder.", heads=12), IMAGENET, side=224),
    "moco-v3-resnet": Row(of(torch_resnet, "module.base_encoder."), IMAGENET, side=64),
    "dino-vit": Row(of_teacher(plain.vit, "backbone.", heads=3), IMAGENET, side=224),
    "dino-resnet": Row(of_teacher(torch_resnet, "module.backbone."), IMAGENET, side=64),
    "vissl": Row(of(torch_resnet, "_feature_blocks."), IMAGENET, side=64),
    "supcontrast": Row(of(plain.resnet, "encoder.module."), KUANGLIU),
    "supcontrast-ce": Row(of(plain.resnet, "encoder.", "fc"), KUANGLIU),
    "simclr": Row(of(torch_resnet, "backbone."), NONE, side=64),
    "solo-learn": Row(of(torch_resnet, "backbone.", padding=2), CIFAR),
    "solo-learn-moco": Row(of(torch_resnet, "backbone.", padding=2), CIFAR),
    "solo-learn-linear": Row(of(torch_resnet, "backbone.", "classifier", padding=2), CIFAR),
    "lightly": Row(of(torch_resnet, "backbone.", **SEQUENTIAL), IMAGENET, side=64),
    "lightly-imagenet": Row(of(torch_resnet, "backbone."), IMAGENET, side=64),
    "lightly-cifar": Row(of(plain.resnet, "backbone.", **SMALL), IMAGENET),
    "torchvision": Row(of(torch_resnet, "", "fc"), IMAGENET, side=64),
    "torchvision-wide": Row(of(torch_resnet, "", "fc"), IMAGENET, side=64),
    "torchvision-resnext": Row(of(torch_resnet, "", "fc", groups=32), IMAGENET, side=64),
    "imagenet-example": Row(of(torch_resnet, "module.", "module.fc"), IMAGENET, side=64),
    "vit-encoder": Row(
        of(plain.vit, heads=6),
        IMAGENET,
        side=224,
        by_hand={"arch": "vit_small_patch16_224.dino"},
    ),
    "resnet-encoder": Row(of(torch_resnet), IMAGENET, side=64),
    "madrylab-imagenet": Row(
        of(torch_resnet, "module.model.", "module.model.fc"),
        ("module.normalizer.new_mean", "module.normalizer.new_std"),
        side=64,
    ),
    "robustbench-imagenet": Row(
        of(torch_resnet, "model.", "model.fc"), ("normalize.mean", "normalize.std"), side=64
    ),
    "pytorch-cifar-preact": Row(
        of(plain.preact, "module.", shortcut_of="activated", final=False), KUANGLIU
    ),
    "timm": Row(of(plain.vit, "", "head", heads=3), HALF, side=224),
}
"""By file of facts."""


def images(side):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def normalised(row, filled, x):
    mean, std = row.before
    if isinstance(mean, str):
        mean, std = (first(filled)[name].flatten() for name in (mean, std))
    return (x - torch.as_tensor(mean).view(-1, 1, 1)) / torch.as_tensor(std).view(-1, 1, 1)


def expected(name, filled):
    row = ROWS[name]
    x = images(row.side)
    return row.forward(filled, normalised(row, filled, x))


LARGE = ("torchvision-wide", "trades", "awp", "robustbench-wide", "moco-v2", "moco-v3-resnet")
"""Files of networks with tens of millions of parameters."""


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if one in LARGE else ()) for one in ROWS]
)
@torch.no_grad()
def test_the_same_function_before_and_after(name, tmp_path):
    filled = tables(name)
    logits = expected(name, filled)
    file = tmp_path / "checkpoint.pth"
    torch.save(content(name, filled), file)
    done = clbench.import_checkpoint(file, out=tmp_path / "model", **ROWS[name].by_hand)
    assert done.entry.dialect == facts(name)["dialect"]
    loaded = load_model(
        str(tmp_path / "model"), n_classes=2, shape=(3, ROWS[name].side, ROWS[name].side)
    )
    found = loaded.network(images(ROWS[name].side))
    assert found.shape == logits.shape
    assert float(logits.std()) > 1e-2
    assert float((found - logits).abs().max() / logits.abs().max()) < 1e-5
    assert loaded.weights_sha256 == done.entry.weights_sha256
    assert loaded.is_encoder == (done.entry.n_classes == 0)


def test_every_file_of_facts_is_of_a_row_and_every_dialect_has_one():
    assert {file.stem for file in FACTS.glob("*.json")} == set(ROWS)
    proved = {facts(name)["dialect"] for name in ROWS}
    assert proved == set(DIALECTS)
    assert len(proved) >= 30


@pytest.mark.parametrize("name", ROWS)
def test_the_facts_are_of_the_source_that_the_dialect_names(name):
    known = facts(name)
    repository, commit = DIALECTS[known["dialect"]].source.split(" ")
    assert known["files"]
    if known["repository"] == repository:
        assert known["commit"].startswith(commit)
