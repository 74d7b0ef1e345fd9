"""Entries of RobustBench's zoo, loaded as users name them, from files of random weights."""

import argparse
import os
import socket
import subprocess
import sys
import urllib.error

import pytest
import torch

from benchmarks.robustbench_zoo import loaded, published, row_of
from clbench.models import load_model
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError

SMALL = (
    "cifar10/Linf/Wong2020Fast",
    "cifar10/Linf/Andriushchenko2020Understanding",
    "cifar10/Linf/Engstrom2019Robustness",
    "cifar10/L2/Engstrom2019Robustness",
    "cifar10/L2/Ding2020MMA",
    "cifar10/corruptions/Kireev2021Effectiveness_RLAT",
    "cifar100/Linf/Rice2020Overfitting",
    "cifar100/corruptions/Modas2021PRIMEResNet18",
    "imagenet/Linf/Salman2020Do_R18",
)
"""Of each table, one that takes a second; ``benchmarks/robustbench_zoo.py`` loads all."""


@pytest.fixture(scope="module")
def entries():
    from clbench.interop import robustbench

    return {f"{one.dataset}/{one.threat_model}/{one.name}": one for one in robustbench.entries()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, below which RobustBench keeps its weights."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


@pytest.fixture
def put(folder, entries):
    """Return a function that puts what stands for an entry's file where that belongs."""

    def write(key, content=None):
        entry = entries[key]
        network = row_of(entry)["model"]()
        place = folder / entry.dataset / entry.threat_model / f"{entry.name}.pt"
        place.parent.mkdir(parents=True)
        weights = published(entry, network, None)
        torch.save(content(weights) if content else weights, place)
        return network.eval()

    return write


def test_there_are_as_many_entries_as_robustbench_has(entries):
    assert len(entries) == 206
    assert set(SMALL) <= set(entries)


@pytest.mark.parametrize("key", SMALL)
def test_an_entry_is_loaded_and_run(entries, key):
    told = loaded(entries[key])
    assert told["parameters"] > 1e6


@pytest.mark.parametrize(
    ("key", "norm", "typed", "called"),
    [
        ("cifar10/Linf/Wong2020Fast", "Linf", "Wong2020Fast", "Wong2020Fast"),
        ("cifar10/Linf/Wong2020Fast", "Linf", "Linf/Wong2020Fast", "Wong2020Fast"),
        ("cifar10/Linf/Wong2020Fast", "L2", "linf/Wong2020Fast", "Linf/Wong2020Fast"),
        ("cifar10/Linf/Wong2020Fast", "L1", "Linf/Wong2020Fast", "Linf/Wong2020Fast"),
        ("cifar10/L2/Ding2020MMA", "L2", "Ding2020MMA", "Ding2020MMA"),
    ],
)
def test_a_name_is_of_its_own_table_or_that_of_the_norm(put, key, norm, typed, called):
    network = put(key)
    found = load_model(f"robustbench:{typed}", dataset="cifar10", norm=norm)
    images = torch.rand(2, 3, 32, 32)
    assert found.name == f"robustbench:{called}"
    with torch.no_grad():
        assert torch.equal(found.network(images), network(images))


class Settings:
    """Something of its own that a training saved with its weights."""


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: {"state_dict": weights, "args": argparse.Namespace(lr=0.1), "epoch": 3},
        lambda weights: {"state_dict": weights, "settings": Settings()},
        lambda weights: {"state_dict": {f"module.{k}": v for k, v in weights.items()}},
        lambda weights: {f"module.{k}": v for k, v in weights.items()},
    ],
)
def test_files_with_more_than_tensors_are_read_and_nothing_in_them_is_run(put, content):
    network = put("cifar10/Linf/Wong2020Fast", content)
    found = load_model("robustbench:Wong2020Fast", dataset="cifar10")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found.network(images), network(images))


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_file_that_would_run_something_does_not(put, tmp_path):
    put("cifar10/Linf/Wong2020Fast", lambda weights: {"state_dict": weights, "x": Runs()})
    with pytest.raises(
        WeightsError, match=r"would run .* where they are unpickled, which nothing here does"
    ):
        load_model("robustbench:Wong2020Fast", dataset="cifar10")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "norm", "error", "said"),
    [
        (
            "Wong2020Fast",
            "L1",
            BadValueError,
            r"no name for L1, but for Linf, .*:Linf/Wong2020Fast",
        ),
        (
            "Linff/Wong2020Fast",
            "Linf",
            UnknownNameError,
            "unknown RobustBench threat model 'Linff'",
        ),
        ("L2/Wong2020Fast", "Linf", UnknownNameError, "'Wong2020Fast' for cifar10 L2"),
        ("corruptions/Wong2020Fast", "Linf", UnknownNameError, "for cifar10 corruptions"),
        ("Linf/", "Linf", UnknownNameError, "unknown RobustBench model ''"),
        ("Linf/../x", "Linf", UnknownNameError, "unknown RobustBench model '../x'"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_there_is_not_is_one_line(name, norm, error, said):
    with pytest.raises(error, match=said) as told:
        load_model(f"robustbench:{name}", dataset="cifar10", norm=norm)
    assert "\n" not in str(told.value)


OFFLINE = {
    "cifar10/Linf/Wong2020Fast": "gdown",
    "cifar10/Linf/Chen2020Adversarial": "gdown, several files",
    "cifar10/Linf/Debenedetti2022Light_XCiT-S12": "timm, an address",
    "cifar100/Linf/Debenedetti2022Light_XCiT-S12": "timm, an address",
    "imagenet/Linf/Standard_R50": "torchvision, an address",
    "imagenet/corruptions/AlexNet": "timm, torchvision's",
    "imagenet/corruptions/Tian2022Deeper_DeiT-S": "timm, an address",
}


@pytest.mark.parametrize("key", OFFLINE)
@pytest.mark.usefixtures("folder")
def test_a_failed_download_is_one_line(monkeypatch, entries, key):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    def unreachable(*_, **__):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", "nothing")
    one = entries[key]
    shape = (3, 32, 32) if one.dataset.startswith("cifar") else (3, 224, 224)
    classes = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}[one.dataset]
    with pytest.raises(WeightsError, match=r"cannot be fetched: .*fetch") as told:
        load_model(
            f"robustbench:{one.threat_model}/{one.name}",
            dataset=one.dataset,
            n_classes=classes,
            shape=shape,
        )
    assert "\n" not in str(told.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_networks_that_want_a_gpu_are_built_without_one(monkeypatch, put):
    from clbench.interop import robustbench as interop

    before = torch.Tensor.cuda
    row = row_of(interop.entry("Wong2020Fast", "cifar10", "Linf"))
    put("cifar10/Linf/Wong2020Fast")
    build = row["model"]
    monkeypatch.setitem(row, "model", lambda: torch.ones(1).cuda() is not None and build())
    assert load_model("robustbench:Wong2020Fast", dataset="cifar10").network
    assert torch.Tensor.cuda is before


def test_robustbench_itself_still_reads_as_it_did():
    code = (
        "from clbench.interop import robustbench as ours; import robustbench.utils, torch; "
        "print(robustbench.utils.torch is torch)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
