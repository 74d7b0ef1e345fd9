"""Commands on a network whose weights lie beside a ``preprocessor_config.json``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench import import_checkpoint, push_folder
from clbench.models.preprocessing import PROCESSOR
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.record_files import record_files

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
WORDS = "normalised by mean 0.5,0.5,0.5 and std 0.25,0.25,0.25, by preprocessor_config.json"
NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(16, 5))
"""


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    """Write a network, its weights and what stands beside them, and images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    space = {}
    exec(NET, space)
    torch.save(space["make"]().state_dict(), "w.pt")
    write(HALF)
    pixels = torch.rand(10, 12, 12, 3, generator=torch.Generator().manual_seed(0))
    np.savez("images.npz", x=(pixels * 255).to(torch.uint8).numpy(), y=np.arange(10) % 5)


def write(content):
    Path(PROCESSOR).write_text(json.dumps(content))


@pytest.mark.parametrize("command", ["eval", "probe"])
def test_what_cannot_be_done_stops_a_command_in_one_line(clbench, command):
    write(HALF | {"do_sharpen": 2})
    done = clbench(
        *(command, "--model", "net.py:make=w.pt", "--data", "images.npz"),
        *("--norm", "Linf", "--eps", "1/255"),
    )
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "says 'do_sharpen': 2, which is not done here; say by hand" in done.err


def test_a_record_holds_it_and_is_verified_by_its_words(clbench, tmp_path):
    done = clbench(
        *("eval", "--model", "net.py:make", "--weights", "w.pt", "--data", "images.npz"),
        *("--norm", "Linf", "--eps", "1/255", "--attack", "pgd,steps=1", "--no-probe"),
    )
    assert done.status == 0, done.err
    assert f"net.py:make sees images {WORDS} beside its weights" in done.err
    (record,) = record_files(tmp_path / "results")
    assert WORDS in record.read_text()
    again = ("verify", record, "--model", "net.py:make", "--weights", "w.pt")
    for beside in (HALF, HALF | {"image_mean": [0, 0, 0]}):
        write(beside)
        done = clbench(*again, "--data", "images.npz", "--level", "2")
        assert done.status == 0, done.err
    (tmp_path / PROCESSOR).unlink()
    assert clbench(*again, "--data", "images.npz", "--level", "2").status == 0


OWN = """
from clbench.models import build_backbone


def make():
    return build_backbone("resnet18_w16", 1, 10)
"""
GREY = {"image_mean": [0.5], "image_std": [0.5]}
BY_HAND = ("--mean", "0.5", "--std", "0.5")


def by_a_hub(tmp_path):
    """Publish a network with a configuration that is wrong."""
    push_folder("supervised_st.digits", out="hub")
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.5], "std": [0.5]}
    (tmp_path / "hub" / "config.json").write_text(json.dumps(config))
    return ("hub",)


def by_an_import(_tmp_path):
    """Import a network with a normalisation that is wrong."""
    file = WEIGHTS_DIR / "supervised_st.digits.safetensors"
    import_checkpoint(file, arch="resnet18_w16", mean="0.5", std="0.5", out="imported")
    return ("imported",)


def beside_weights(tmp_path):
    """Put a file beside weights that is wrong."""
    (tmp_path / "own.py").write_text(OWN)
    shutil.copy(WEIGHTS_DIR / "supervised_st.digits.safetensors", "w.safetensors")
    write(GREY)
    return ("own.py:make", "--weights", "w.safetensors")


def by_hand(tmp_path):
    """Say something by hand that is wrong."""
    beside_weights(tmp_path)
    (tmp_path / PROCESSOR).unlink()
    return ("own.py:make", "--weights", "w.safetensors", *BY_HAND)


@pytest.mark.parametrize("door", [by_a_hub, by_an_import, beside_weights, by_hand])
def test_whoever_says_a_wrong_normalisation_it_is_flagged(clbench, tmp_path, door):
    common = ("--protocol", "digits-linf", "--attack", "pgd,steps=1", "--no-probe", "--strict")
    done = clbench("eval", "--model", *door(tmp_path), *common, "--n-examples", "64")
    assert done.status == 3, done.err
    assert "normalisation_suspect" in done.out


def test_the_right_one_is_not(clbench):
    push_folder("supervised_st.digits", out="hub")
    common = ("--protocol", "digits-linf", "--attack", "pgd,steps=1", "--no-probe", "--strict")
    done = clbench("eval", "--model", "hub", *common, "--n-examples", "64")
    assert "normalisation_suspect" not in done.out


def test_probe_and_layers_take_the_options_of_eval(clbench, tmp_path):
    by_hand(tmp_path)
    common = ("--data", "images.npz", *("--mean", "0.1,0.2,0.3", "--std", "0.5,0.5,0.5"))
    done = clbench("layers", "net.py:make", *common, "--json")
    assert done.status == 0, done.err
    found = [
        *("probe", "--model", "net.py:make", *common, "--norm", "Linf", "--eps", "1/255"),
        *("--comparison", "clean-clean", "--no-figures", "--json"),
    ]
    done = clbench(*found)
    assert done.status == 0, done.err
    (model,) = json.loads(done.out)["models"]
    words = "normalised by mean 0.1,0.2,0.3 and std 0.5,0.5,0.5, by hand"
    assert model["preprocessing"] == words
    for command in (["layers", "simclr_at"], ["probe", "--model", "simclr_at"]):
        done = clbench(*command, *BY_HAND)
        assert (done.status, len(done.err.splitlines())) == (2, 1)
        assert "sees is known" in done.err
