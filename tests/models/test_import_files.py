"""Files as trainings save them: what stands beside the weights is data, however it is written."""

import argparse
import collections
import datetime
import enum
import sys
import types

import numpy as np
import pytest
import safetensors.torch
import torch

import clbench
from clbench.models.backbones.architecture import Architecture
from clbench.models.load import load_model
from tests.models import plain_forwards as plain
from tests.models.dialect_files import tables


class AverageMeter:
    """What many trainings keep their accuracies in."""

    def __init__(self):
        self.val, self.avg, self.count = 0.5, 0.4, 3


class Mode(enum.Enum):
    BEST = "best"


class EasyDict(dict):
    """A table whose items are attributes, which it sets when it is made."""

    def __init__(self, **items):
        super().__init__(items)
        self.__dict__.update(items)


class Bunch(dict):
    """A table whose name does not say so."""


class Stack(list):
    """A list of a class of its own."""


def of_module(name, module, function=None):
    """Return an object whose pickle names a module that is gone when it is read."""
    made = types.ModuleType(module)
    parents = module.split(".")
    for n in range(1, len(parents)):
        sys.modules.setdefault(".".join(parents[:n]), types.ModuleType(parents[0]))
    kind = type(name, (), {"__module__": module})
    if function:

        def rebuild(*arguments):
            return arguments

        rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = module, function, function
        setattr(made, function, rebuild)
        kind.__reduce__ = lambda self: (rebuild, ("OrderedDict",))
    setattr(made, name, kind)
    sys.modules[module] = made
    one = kind()
    one.__dict__.update(_content={"dataset": "cifar10"}, lr=0.1)
    return one


BESIDE = {
    "argparse": lambda: argparse.Namespace(lr=0.1, gpus=[0, 1], resume=None),
    "a scalar of numpy": lambda: np.float64(93.1),
    "an array of numpy": lambda: np.arange(5),
    "an array of objects": lambda: np.array([{"a": 1}, None], dtype=object),
    "random states": lambda: {"numpy": np.random.default_rng(0).bit_generator.state},
    "an average meter": AverageMeter,
    "an enumeration": lambda: Mode.BEST,
    "easydict": lambda: EasyDict(lr=0.1),
    "a named tuple": lambda: datetime.timedelta(seconds=3),
    "a default dict": lambda: collections.defaultdict(list, a=[1]),
    "a counter": lambda: collections.Counter("abc"),
    "a table of another name": lambda: Bunch(lr=0.1),
    "a list of another class": lambda: Stack([1, 2]),
    "a deque": lambda: collections.deque([1, 2]),
    "a configuration of OmegaConf": lambda: of_module("DictConfig", "omegaconf.dictconfig"),
    "a type of dill": lambda: of_module("Any", "dill._dill", "_load_type"),
    "a function of dill": lambda: of_module("Any", "dill._dill", "_create_function"),
    "an optimizer of apex": lambda: of_module("LARS", "apex.parallel.LARC"),
    "a logger": lambda: of_module("Logger", "tensorboard_logger"),
    "a complex number and bytes": lambda: [1j, b"\x00\xff", {1, 2}, frozenset("a"), range(3)],
    "a device and a type": lambda: [torch.device("cpu"), torch.float16, torch.Size([2, 3])],
    "a path": lambda: __import__("pathlib").PurePosixPath("a/b"),
}
"""What stands beside weights, as it was found in checkpoints."""


MADE_UP = ("dill", "omegaconf", "apex", "tensorboard_logger")
"""Packages that are not there when a checkpoint is read."""


def forget_modules():
    for name in [one for one in sys.modules if one.partition(".")[0] in MADE_UP]:
        del sys.modules[name]


def whole(filled):
    return {"epoch": 3, "acc": 0.5, "rng_state": torch.get_rng_state(), **filled}


@pytest.fixture(scope="module")
def rocl():
    """Return the weights of a small network as RoCL names them, images, and its answers."""
    torch.manual_seed(0)
    options = {"block": "basic", "layers": [1, 1, 1, 1], "width": 8}
    network = Architecture("cifar", "small", options | {"num_classes": 0, "in_chans": 3}).build()
    state = {
        f"module.{k.replace('downsample', 'shortcut')}": v for k, v in network.state_dict().items()
    }
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return {"model": state}, x, plain.resnet(state, x, "module.")


@torch.no_grad()
def is_imported(file, tmp_path, x, wanted, atol=1e-5):
    done = clbench.import_checkpoint(file, out=tmp_path / "model")
    network = load_model(str(tmp_path / "model"), n_classes=2, shape=(3, 32, 32)).network
    assert float((network(x) - wanted).abs().max() / wanted.abs().max()) < atol
    return done


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", BESIDE)
def test_objects_of_other_code_are_data(case, zipped, rocl, tmp_path):
    filled, x, wanted = rocl
    file = tmp_path / "c.t7"
    torch.save(
        whole(filled) | {"more": BESIDE[case]()}, file, _use_new_zipfile_serialization=zipped
    )
    forget_modules()
    assert is_imported(file, tmp_path, x, wanted).entry.dialect == "rocl"


def halved(filled):
    return {k: v.half() if v.is_floating_point() else v for k, v in filled["model"].items()}


CHANGED = {
    "half precision": (lambda f: {**whole(f), "model": halved(f)}, 2e-2),
    "double precision": (
        lambda f: {
            **whole(f),
            "model": {k: v.double() if v.is_floating_point() else v for k, v in f["model"].items()},
        },
        1e-5,
    ),
    "without counters": (
        lambda f: {
            **whole(f),
            "model": {k: v for k, v in f["model"].items() if "num_batches" not in k},
        },
        1e-5,
    ),
    "parameters": (
        lambda f: {
            **whole(f),
            "model": {
                k: torch.nn.Parameter(v) if v.is_floating_point() else v
                for k, v in f["model"].items()
            },
        },
        1e-5,
    ),
    "compiled": (
        lambda f: {
            **whole(f),
            "model": {k.replace("module.", "_orig_mod.module."): v for k, v in f["model"].items()},
        },
        1e-5,
    ),
    "averaged": (
        lambda f: {**whole(f), "model": {**f["model"], "n_averaged": torch.tensor(3)}},
        1e-5,
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_weights_are_taken_as_they_are_saved(case, rocl, tmp_path):
    filled, x, wanted = rocl
    change, atol = CHANGED[case]
    torch.save(change(filled), tmp_path / "c.pth")
    assert is_imported(tmp_path / "c.pth", tmp_path, x, wanted, atol)


def test_safetensors_are_read_too(rocl, tmp_path):
    filled, x, wanted = rocl
    bare = {k.removeprefix("module."): v.clone() for k, v in filled["model"].items()}
    bare |= {"linear.weight": torch.eye(64), "linear.bias": torch.zeros(64)}
    safetensors.torch.save_file(bare, tmp_path / "c.safetensors")
    clbench.import_checkpoint(
        tmp_path / "c.safetensors", mean="0,0,0", std="1,1,1", out=tmp_path / "model"
    )
    network = load_model(str(tmp_path / "model"), n_classes=2, shape=(3, 32, 32)).network
    with torch.no_grad():
        assert float((network(x) - wanted).abs().max() / wanted.abs().max()) < 1e-5


def test_averaged_weights_beside_plain_ones_are_told(tmp_path):
    plain_ones, averaged = tables("timm", 1)["state_dict"], tables("timm", 2)["state_dict"]
    saved = {"state_dict": dict(plain_ones), "state_dict_ema": dict(averaged), "epoch": 3}
    saved["arch"] = "vit_tiny_patch16_224"
    torch.save(saved, tmp_path / "c.pth.tar")
    done = clbench.import_checkpoint(tmp_path / "c.pth.tar", out=tmp_path / "model")
    assert "in 'state_dict'" in done.entry.evidence
    assert "state_dict_ema left aside" in done.entry.evidence
