"""Weights as trainings save them: the right network, or one line; nothing is ever run."""

import argparse
import contextlib
import copy
import importlib
import io
import logging
import pathlib
import pickle
import shlex
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel

from clbench.models import load_weights, read_weights
from clbench.models.checkpoints.load import load_checkpoint
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import WeightsError
from clbench.schema.files import sha256_of_file
from clbench.testing.damage import cuts, flips

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def make(seed=0):
    """Return a small network with batch norms, in eval mode, different for each seed."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    network = nn.Sequential(*layers)
    network[1].running_mean.uniform_()
    return network.eval()


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


def averaged(network):
    found = AveragedModel(network)
    found.update_parameters(network)
    return found.state_dict()


def lightning(state):
    return {
        "state_dict": prefixed(state, "model."),
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.4.0",
        "callbacks": {"best": {"score": 0.5}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{}]}],
        "hyper_parameters": {"lr": 0.1},
    }


FILES = {
    "plain": lambda n: n.state_dict(),
    "a plain dict": lambda n: dict(n.state_dict()),
    "parameters": lambda n: OrderedDict(n.named_parameters()) | dict(n.named_buffers()),
    "state_dict and epoch": lambda n: {"state_dict": n.state_dict(), "epoch": 3},
    "model": lambda n: {"model": n.state_dict(), "args": None},
    "model_state_dict": lambda n: {"model_state_dict": n.state_dict(), "loss": 0.1},
    "net and acc": lambda n: {"net": n.state_dict(), "acc": 94.2, "epoch": 199},
    "network": lambda n: {"network": n.state_dict()},
    "ema alone": lambda n: {"ema": n.state_dict()},
    "a key that nobody has": lambda n: {"weights of mine": n.state_dict()},
    "two tables deep": lambda n: {"last": {"model": n.state_dict()}, "epoch": 1},
    "module of DataParallel": lambda n: nn.DataParallel(n).state_dict(),
    "state_dict of DataParallel": lambda n: {"state_dict": nn.DataParallel(n).state_dict()},
    "compiled": lambda n: torch.compile(n).state_dict(),
    "compiled DataParallel": lambda n: prefixed(n.state_dict(), "_orig_mod.module."),
    "module twice": lambda n: prefixed(n.state_dict(), "module.module."),
    "Lightning": lambda n: lightning(n.state_dict()),
    "compiled Lightning": lambda n: lightning(prefixed(n.state_dict(), "_orig_mod.")),
    "averaged": averaged,
    "profiled": lambda n: (
        n.state_dict() | {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)}
    ),
    "layers wrapped inside of a model": lambda n: {
        f"model.{key.replace('.', '.module.', 1)}": v for key, v in n.state_dict().items()
    },
    "nested DataParallel": lambda n: {
        f"module.{key.replace('.', '.module.', 1)}": v for key, v in n.state_dict().items()
    },
    "compiled layers of Lightning": lambda n: lightning(
        {key.replace(".", "._orig_mod.", 1): v for key, v in n.state_dict().items()}
    ),
    "Lightning with a weighted loss": lambda n: {
        "state_dict": prefixed(n.state_dict(), "model.") | {"loss.weight": torch.ones(10)}
    },
    "Lightning with a criterion": lambda n: {
        "state_dict": prefixed(n.state_dict(), "net.") | {"criterion.weight": torch.ones(10)}
    },
    "Lightning with metrics": lambda n: {
        "state_dict": prefixed(n.state_dict(), "model.")
        | {"val_acc.tp": torch.ones(10), "train_metrics.Accuracy.tp": torch.ones(10)}
    },
    "a loss beside the layers": lambda n: n.state_dict() | {"loss_fn.weight": torch.ones(10)},
    "half": lambda n: {k: v.half() for k, v in n.state_dict().items()},
    "bfloat16": lambda n: {k: v.bfloat16() for k, v in n.state_dict().items()},
    "double": lambda n: n.double().state_dict(),
    "without counters": lambda n: {k: v for k, v in n.state_dict().items() if "tracked" not in k},
    "counters of another type": lambda n: (
        n.state_dict() | {"1.num_batches_tracked": torch.tensor(3.0)}
    ),
    "with an optimizer": lambda n: {
        "model": n.state_dict(),
        "optimizer": torch.optim.Adam(n.parameters()).state_dict(),
    },
    "with numbers beside": lambda n: n.state_dict() | {"epoch": 3, "lr": 0.1},
    "with arguments": lambda n: {"state_dict": n.state_dict(), "args": argparse.Namespace(lr=0.1)},
    "with a path": lambda n: {"state_dict": n.state_dict(), "out": pathlib.PurePosixPath("x")},
    "with numpy's numbers": lambda n: {"state_dict": n.state_dict(), "best": np.float64(0.94)},
    "with an array": lambda n: {"model": n.state_dict(), "curve": np.arange(3.0)},
    "with a defaultdict": lambda n: {"model": n.state_dict(), "log": defaultdict(list, a=[1])},
    "with a counter": lambda n: {"model": n.state_dict(), "seen": Counter("ab")},
    "with a class of its own": lambda n: {"net": n.state_dict(), "config": Settings(0.1)},
    "with random states": lambda n: {"net": n.state_dict(), "rng": torch.get_rng_state()},
}
"""What trainings save, all of one network."""


class Settings:
    def __init__(self, lr):
        self.lr = lr


def outputs(network):
    with torch.no_grad():
        return network.float()(IMAGES)


@pytest.mark.parametrize(
    "name", ["w.pth", "w.pt", "w.pth.tar", "w.bin", "w.ckpt", "w", "w.safetensors"]
)
@pytest.mark.parametrize("case", ["plain", "state_dict of DataParallel"])
def test_files_of_torch_are_known_by_their_content(case, name, tmp_path):
    torch.save(FILES[case](make(1)), tmp_path / name)
    network = make(2)
    load_weights(network, tmp_path / name)
    assert torch.equal(outputs(network), outputs(make(1)))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", FILES)
def test_what_trainings_save_fills_the_network(case, zipped, tmp_path):
    torch.save(FILES[case](make(1)), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    network = make(2)
    found = load_checkpoint(network, tmp_path / "w.pth")
    torch.testing.assert_close(outputs(network), outputs(make(1)), rtol=0, atol=2e-2)
    if case not in ("half", "bfloat16"):
        assert torch.equal(outputs(network), outputs(make(1)))
    assert found.file_sha256 == sha256_of_file(tmp_path / "w.pth")
    assert found.weights_sha256 == state_sha256(network)


@pytest.mark.parametrize(
    ("case", "did"),
    [
        ("plain", ""),
        ("half", ""),
        ("without counters", ""),
        ("state_dict and epoch", "taken from 'state_dict'"),
        ("module of DataParallel", "without the prefix 'module.'"),
        ("state_dict of DataParallel", "taken from 'state_dict', without the prefix 'module.'"),
        ("compiled DataParallel", "without the prefix '_orig_mod.module.'"),
        ("two tables deep", "taken from 'last.model'"),
        ("averaged", "without n_averaged, without the prefix 'module.'"),
        (
            "layers wrapped inside of a model",
            "without the names of wrappers, without the prefix 'model.'",
        ),
        (
            "Lightning with a weighted loss",
            "taken from 'state_dict', without loss.weight, without the prefix 'model.'",
        ),
        (
            "Lightning with metrics",
            (
                "taken from 'state_dict', without train_metrics.Accuracy.tp, val_acc.tp, "
                "without the prefix 'model.'"
            ),
        ),
    ],
)
def test_it_is_said_what_was_done(case, did, tmp_path, caplog):
    file = tmp_path / "w.pth"
    torch.save(FILES[case](make(1)), file)
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(make(2), file).did == did
    assert [one.getMessage() for one in caplog.records] == (
        [f"weights {file}: {did}"] if did else []
    )


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_of_two_networks_in_a_file_it_is_said_which_is_taken(kind, tmp_path):
    file = tmp_path / f"w.{kind}"
    torch.save({"ema": make(1).state_dict(), "state_dict": make(2).state_dict()}, file)
    network = make(3)
    did = load_checkpoint(network, file).did
    assert torch.equal(outputs(network), outputs(make(2)))
    assert did == "taken from 'state_dict'; 'ema' holds other values under the same names"
    prefixed_too = prefixed(make(1).state_dict(), "module.")
    torch.save({"model_ema": prefixed_too, "model": make(2).state_dict()}, file)
    assert "; 'model_ema' holds other values" in load_checkpoint(make(3), file).did
    torch.save({"ema": make(2).state_dict(), "state_dict": make(2).state_dict()}, file)
    assert load_checkpoint(make(3), file).did == "taken from 'state_dict'"


def test_of_two_networks_that_of_the_right_shape_is_taken(tmp_path):
    other = nn.Linear(3, 3).state_dict()
    torch.save({"state_dict": other, "ema": make(1).state_dict()}, tmp_path / "w.pth")
    network = make(2)
    assert load_checkpoint(network, tmp_path / "w.pth").did == "taken from 'ema'"
    assert torch.equal(outputs(network), outputs(make(1)))


# what torch's strict loading takes


class Scaled(nn.Linear):
    """A linear layer that saves more than tensors."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.version = 1

    def get_extra_state(self):
        return {"version": self.version}

    def set_extra_state(self, state):
        self.version = state["version"]


class Renamed(nn.Linear):
    """A linear layer that takes an older name by a hook."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_load_state_dict_pre_hook(self._older)

    @staticmethod
    def _older(_module, state, prefix, *_others):
        if f"{prefix}kernel" in state:
            state[f"{prefix}weight"] = state.pop(f"{prefix}kernel")


def tied():
    one, two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    two.weight = one.weight
    return nn.Sequential(one, nn.ReLU(), two)


def old_names(state):
    new = "parametrizations.weight.original"
    return {
        k.replace(f"{new}0", "weight_g").replace(f"{new}1", "weight_v"): v for k, v in state.items()
    }


def tensors(state):
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


def old_weight_norm():
    with pytest.warns(FutureWarning):
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 3)))


def new_weight_norm():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 3)))


def bare(state):
    return {key.removeprefix("module."): value for key, value in state.items()}


AS_TORCH = {
    "extra state lost": (lambda: nn.Sequential(Scaled(6, 3)), tensors),
    "old weight norm": (new_weight_norm, old_names),
    "a hook renames": (
        lambda: nn.Sequential(Renamed(6, 3)),
        lambda s: {"0.kernel": s["0.weight"], "0.bias": s["0.bias"]},
    ),
    "tied, stored once": (tied, lambda s: {"0.weight": s["0.weight"]}),
    "tied, stored once under the other name": (tied, lambda s: {"2.weight": s["2.weight"]}),
    "tied, stored twice": (tied, lambda s: {k: v.clone() for k, v in s.items()}),
    "network in DataParallel": (lambda: nn.DataParallel(nn.Linear(6, 3)), bare),
    "spectral norm": (
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 3))),
        lambda s: s,
    ),
    "no parameters": (lambda: nn.Sequential(nn.Flatten()), lambda s: s),
    "buffers that are not saved": (
        lambda: buffered(nn.Linear(6, 3), "scale", persistent=False),
        lambda s: s,
    ),
    "integers and booleans": (
        lambda: buffered(
            buffered(nn.Linear(6, 3), "index", torch.arange(3)), "mask", torch.ones(2) > 0
        ),
        lambda s: s,
    ),
}


def buffered(module, name, value=None, *, persistent=True):
    module.register_buffer(name, torch.ones(1) if value is None else value, persistent=persistent)
    return module


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("case", AS_TORCH)
def test_what_torch_takes_is_taken(case, kind, tmp_path):
    build, change = AS_TORCH[case]
    torch.manual_seed(1)
    saved = build().eval()
    state, file = change(saved.state_dict()), tmp_path / f"w.{kind}"
    if kind == "pth":
        torch.save(state, file)
    else:
        safetensors.torch.save_file({k: v.clone() for k, v in state.items()}, file)
    torch.manual_seed(2)
    network = build().eval()
    load_weights(network, file)
    assert torch.equal(network(torch.ones(2, 6)), saved(torch.ones(2, 6)))


def test_new_weight_norm_fills_the_old_one(tmp_path):
    saved, network = new_weight_norm(), old_weight_norm()
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    assert (
        load_checkpoint(network, tmp_path / "w.pth").did == "with weight_norm in its old spelling"
    )
    assert torch.equal(network(torch.ones(2, 6)), saved(torch.ones(2, 6)))


def test_save_model_of_safetensors_is_read(tmp_path):
    saved, network = tied(), tied()
    safetensors.torch.save_model(saved, tmp_path / "w.safetensors")
    assert load_weights(network, tmp_path / "w.safetensors") == sha256_of_file(
        tmp_path / "w.safetensors"
    )
    assert torch.equal(network[0].weight, saved[0].weight)


def test_extra_state_of_a_pickle_is_taken(tmp_path):
    saved, network = nn.Sequential(Scaled(6, 3)), nn.Sequential(Scaled(6, 3))
    saved[0].version = 7
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    load_weights(network, tmp_path / "w.pth")
    assert network[0].version == 7


# what is refused, and leaves the network as it was


def quantised(state):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch gives these up
        return state | {
            "4.weight": torch.quantize_per_tensor(state["4.weight"], 0.1, 0, torch.qint8)
        }


REFUSED = {
    "int8": (
        lambda s: s | {"0.weight": (s["0.weight"] * 10).to(torch.int8)},
        r"int8 in '0.weight', the network needs",
    ),
    "uint8": (lambda s: s | {"4.bias": torch.ones(10, dtype=torch.uint8)}, r"uint8 in '4.bias'"),
    "int64": (lambda s: s | {"1.running_var": torch.ones(4).long()}, r"int64 in '1.running_var'"),
    "bool": (lambda s: s | {"4.bias": torch.ones(10) > 0}, r"bool in '4.bias'"),
    "float8": (
        lambda s: s | {"4.bias": torch.ones(10).to(torch.float8_e4m3fn)},
        r"float8_e4m3fn in '4.bias'",
    ),
    "complex": (
        lambda s: s | {"4.bias": torch.ones(10, dtype=torch.complex64)},
        r"complex64 in '4.bias'",
    ),
    "sparse": (
        lambda s: s | {"4.weight": s["4.weight"].to_sparse()},
        r"a sparse_coo tensor, '4.weight'",
    ),
    "quantised": (quantised, r"a quantised tensor, '4.weight'"),
    "meta": (lambda s: s | {"4.weight": s["4.weight"].to("meta")}, r"a meta tensor, '4.weight'"),
    "another shape": (
        lambda s: s | {"4.bias": torch.ones(7)},
        r"'4.bias' is \[7\], the network's is \[10\]$",
    ),
    "one missing": (lambda s: {k: v for k, v in s.items() if k != "4.bias"}, r"it lacks '4.bias'$"),
    "one more": (
        lambda s: s | {"mean": torch.ones(3)},
        r"it has 'mean', which the network has not$",
    ),
    "a normalisation beside the model": (
        lambda s: prefixed(s, "model.") | {"normalize.mean": torch.ones(3)},
        r"all of the network under 'model.', but also 'normalize.mean', which may change what",
    ),
    "averages and a loss beside the model": (
        lambda s: prefixed(s, "model.") | prefixed(s, "ema.") | {"loss.weight": torch.ones(10)},
        r"all of the network under 'model.', but also 'ema.0.weight', which may change what",
    ),
    "a test-time normalisation and a loss": (
        lambda s: (
            prefixed(s, "model.") | {"test_norm.mean": torch.ones(3), "loss.weight": torch.ones(3)}
        ),
        r"all of the network under 'model.', but also 'test_norm.mean', which may change what",
    ),
    "a part of a Sequential": (lambda s: prefixed(s, "1."), r"it lacks '0.bias'"),
    "another network": (lambda _: nn.Linear(2, 2).state_dict(), r"it lacks '0.bias' and \d+ more"),
    "nothing": (lambda _: {}, r"it lacks '0.bias'"),
    "only numbers": (
        lambda _: {"epoch": 3},
        r"hold no tensors by name, but the keys 'epoch'; save them",
    ),
    "a list": (lambda _: [1, 2], r"hold no tensors by name, but an object of type list"),
    "a tensor": (lambda s: s["4.bias"], r"hold no tensors by name, but an object of type Tensor"),
    "tensors by number": (lambda s: dict(enumerate(s.values())), r"hold no tensors by name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_are_no_weights_of_the_network_is_one_line_and_changes_nothing(case, tmp_path):
    change, message = REFUSED[case]
    torch.save(change(make(1).state_dict()), tmp_path / "w.pth")
    network = make(2)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(network, tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_two_values_of_a_shared_tensor_are_refused(tmp_path):
    torch.save({"0.weight": torch.ones(6, 6), "2.weight": torch.zeros(6, 6)}, tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"'0.weight' and '2.weight' differ, the network has one"
    ):
        load_weights(tied(), tmp_path / "w.pth")


def test_networks_of_other_make_are_filled(tmp_path):
    saved = make(1)
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch gives torch.jit up
        with torch.inference_mode():
            made_so = make(2)
        others = {
            "scripted": torch.jit.script(make(2)),
            "traced": torch.jit.trace(make(2), IMAGES),
            "exported": torch.export.export(make(2), (IMAGES,)).module(),
            "compiled": torch.compile(make(2), backend="eager"),
            "in inference mode": made_so,
        }
        for name, network in others.items():
            load_weights(network, tmp_path / "w.pth")
            with torch.no_grad():
                torch.testing.assert_close(network(IMAGES), outputs(saved), msg=name)


def test_a_lazy_network_is_filled(tmp_path):
    torch.save(nn.Linear(6, 3).state_dict(), tmp_path / "w.pth")
    network = nn.LazyLinear(3)
    load_weights(network, tmp_path / "w.pth")
    assert network.weight.shape == (3, 6)


class Failing(nn.Linear):
    def set_extra_state(self, state):
        raise ValueError("two\nlines")

    def get_extra_state(self):
        return {}


def test_a_network_that_fails_while_it_is_filled_is_left_as_it_was(tmp_path):
    network = nn.Sequential(nn.Linear(6, 6), Failing(6, 3))
    before = copy.deepcopy(network.state_dict())
    torch.save(
        {k: v + 1 if k != "1._extra_state" else v for k, v in before.items()}, tmp_path / "w"
    )
    with pytest.raises(WeightsError, match=r"of another network: ValueError: two lines"):
        load_weights(network, tmp_path / "w")
    assert torch.equal(network[0].weight, before["0.weight"])


# files of other kinds


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.act = nn.functional.relu
        self.head = nn.Linear(6, 3)
        self.register_buffer("unsaved", __import__("torch").ones(1), persistent=False)
        self.sizes = [6, 3]

    def forward(self, x):
        return self.head(self.act(self.layers(x))) * self.unsaved

def make():
    return Net().eval()
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Return a module of a user's own with a network, in the working folder."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("net", None)
    yield importlib.import_module("net")
    sys.modules.pop("net", None)


WHOLE = {
    "alone": (lambda n: n, "the whole network"),
    "under a key": (lambda n: {"net": n, "acc": 0.9}, "the whole network 'net'"),
    "wrapped": (nn.DataParallel, "the whole network, without the prefix 'module.'"),
    "beside its averages": (
        lambda n: {"ema": copy.deepcopy(n).requires_grad_(requires_grad=False), "model": n},
        "the whole network 'model'",
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_network_gives_its_weights_and_its_code_is_not_run(net, case):
    wrap, where = WHOLE[case]
    saved, file = net.make(), pathlib.Path("w.pt")
    saved.layers[1].running_mean.uniform_()
    torch.save(wrap(saved), file)
    network = net.make()
    del sys.modules["net"]
    pathlib.Path("net.py").write_text("raise SystemExit('this was run')")
    assert load_checkpoint(network, file).did == f"taken from {where}"
    assert torch.equal(network(torch.ones(2, 6)), saved(torch.ones(2, 6)))


def test_a_whole_network_in_the_legacy_format_is_one_line(net):
    torch.save(net.make(), "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(
        WeightsError, match=r"hold objects that only running code could read; where"
    ):
        load_weights(net.make(), pathlib.Path("w.pt"))


def traced(network):
    return torch.jit.trace(network, torch.ones(1, 6))


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("compiled", [torch.jit.script, traced])
def test_the_advice_for_compiled_networks_works(compiled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved, file = nn.Linear(6, 3).eval(), pathlib.Path("it's mine.pt")
    compiled(saved).save(str(file))
    with pytest.raises(WeightsError, match=r"compiled by torch.jit with its code; where") as caught:
        load_weights(nn.Linear(6, 3), file)
    command = str(caught.value).partition("run: python ")[2]
    subprocess.run([sys.executable, *shlex.split(command)], check=True, timeout=60)
    network = nn.Linear(6, 3)
    load_weights(network, pathlib.Path("weights.pt"))
    assert torch.equal(network.weight, saved.weight)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "epoch": 3}])
def test_the_advice_for_plain_pickles_works(wrap, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "the net's.pkl"
    path.write_bytes(pickle.dumps(wrap(make(1).state_dict()), protocol=protocol))
    with pytest.raises(WeightsError, match="are a pickle that torch") as caught:
        load_weights(make(2), path)
    program, *words = shlex.split(str(caught.value).partition("run: ")[2])
    assert (program, words[0]) == ("python", "-c")
    exec(words[1], {})  # as the user would run it
    network = make(2)
    load_weights(network, tmp_path / "weights.pt")
    assert torch.equal(outputs(network), outputs(make(1)))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_older_files_of_any_protocol_are_read(protocol, tmp_path):
    torch.save(
        make(1).state_dict(),
        tmp_path / "w.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=False,
    )
    network = make(2)
    if protocol > 3:  # torch reads these only where it may run code
        with pytest.raises(WeightsError, match=r"open it by torch\.load\(path"):
            load_weights(network, tmp_path / "w.pt")
        return
    load_weights(network, tmp_path / "w.pt")
    assert torch.equal(outputs(network), outputs(make(1)))


@pytest.mark.parametrize("content", [argparse.Namespace(lr=1), {"args": argparse.Namespace()}])
def test_objects_that_are_no_networks_are_no_weights(content, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"hold no tensors by name, but .*Namespace|'args'"):
        load_weights(make(), tmp_path / "w.pth")


def test_tables_and_modules_that_hold_each_other_end(tmp_path):
    table = {f"key {number}": None for number in range(50)}
    table |= dict.fromkeys(table, table)
    module = nn.Module()
    for name in "abcdefgh":
        module._modules[name] = module
    torch.save({"table": table, "net": module, "model": make(1).state_dict()}, tmp_path / "w.pth")
    network = make(2)
    load_weights(network, tmp_path / "w.pth")
    assert torch.equal(outputs(network), outputs(make(1)))


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return exec, (f"open({str(self.file)!r}, 'w')",)


class Opened(Bomb):
    def __reduce__(self):
        return open, (str(self.file), "w")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [Bomb, Opened])
@pytest.mark.parametrize("beside", [True, False])
def test_nothing_in_a_file_is_run(kind, zipped, beside, tmp_path):
    bomb = kind(tmp_path / "burst")
    content = {"state_dict": make().state_dict(), "x": bomb} if beside else bomb
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with contextlib.suppress(WeightsError):
        load_weights(make(), tmp_path / "w.pth")
    assert not (tmp_path / "burst").exists()


def a_zip(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")


def an_npz(file):
    np.savez(file.with_suffix(".npz"), x=1)
    file.with_suffix(".npz").rename(file)


def a_zip_with_a_name_twice(file):
    torch.save(make().state_dict(), file)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"other")


def a_bomb(file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(1 << 27))
        for number in range(12):
            archive.writestr(f"w/data/{number}", bytes(1 << 27))


def a_tar(file):
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"), io.BytesIO())


def holding(content):
    return lambda file: file.write_bytes(content)


OTHERS = {
    "zip": (a_zip, "are a zip archive, but not of torch.save; it holds readme.txt"),
    "npz": (an_npz, "are a zip archive, but not of torch.save"),
    "twice": (a_zip_with_a_name_twice, "holds 'w/data.pkl' twice, so that nobody can say which"),
    "bomb": (a_bomb, r"unpacks from 1.7 MB to 1.7 GB, as no images or weights do"),
    "tar": (a_tar, "are a tar archive, not a file of torch.save; unpack it"),
    "gzip": (holding(b"\x1f\x8b\x08 packed"), "are a gzip archive; unpack it"),
    "HDF5": (holding(b"\x89HDF\r\n\x1a\n"), "are an HDF5 file, which Keras writes"),
    "page": (holding(b"<!DOCTYPE html><html>quota</html>"), "are a web page; fetch the file again"),
    "LFS": (holding(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "empty": (holding(b""), "are cut off or neither a safetensors file nor one of torch.save"),
    "text": (holding(b"hello world, no weights"), "are cut off or neither a safetensors file nor"),
    "pickle": (holding(b"\x80\x04K\x01."), "are a pickle that torch.save did not write, or dam"),
    "legacy, cut": (
        holding(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80"),
        "are cut off, damaged or no file of torch.save",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_files_of_other_kinds_are_one_line(case, tmp_path):
    write, message = OTHERS[case]
    write(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damaged_files_are_the_same_weights_or_one_line(zipped, tmp_path):
    torch.save(
        {"state_dict": make(1).state_dict()}, tmp_path / "w", _use_new_zipfile_serialization=zipped
    )
    data, lines = (tmp_path / "w").read_bytes(), []
    damaged = [*cuts(data, 40), *(one for _, one in flips(data, 200))]
    for number, one in enumerate(damaged):
        (tmp_path / "d").write_bytes(one)
        network = make(2)
        try:
            load_weights(network, tmp_path / "d")
        except WeightsError as error:
            lines.append(str(error))
        else:  # a file without sums keeps a flipped bit of a weight; a zip archive does not
            assert not zipped or torch.equal(outputs(network), outputs(make(1))), number
    assert len(lines) > len(damaged) / 10
    assert not any("\n" in line for line in lines)
