"""Networks, weights and images as people bring them: the right number, or one line."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
FAST = ("--attack", "pgd,steps=1", "--eps", "1/255", "--no-probe")
PIXELS, LABELS = load_digits(return_X_y=True)
PIXELS, LABELS = PIXELS[:40].reshape(-1, 8, 8, 1), LABELS[:40]


@pytest.fixture
def trained():
    """Return a linear network that knows the first digits by heart."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    x = torch.tensor(PIXELS.reshape(40, 64) / 16, dtype=torch.float32)
    targets = nn.functional.one_hot(torch.tensor(LABELS), 10) * 9.0
    network[1].weight.data = (torch.linalg.pinv(x) @ targets).T
    network[1].bias.data.zero_()
    return network


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """Work in a folder with a network, its weights and its images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    wrapped = {f"module.{key}": value for key, value in trained.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "w.pth")
    np.savez(tmp_path / "d.npz", x=np.float32(PIXELS / 16), y=LABELS)
    np.savez(tmp_path / "ink.npz", x=np.uint8(PIXELS), y=LABELS)
    np.savez(tmp_path / "shifted.npz", x=np.float32(PIXELS / 16), y=LABELS + 1)
    np.savez(tmp_path / "marked.npz", x=np.float32(PIXELS / 16), y=np.append(LABELS[:-1], 255))
    np.savez(tmp_path / "large.npz", x=np.float32(PIXELS / 16).repeat(3, 1).repeat(3, 2), y=LABELS)
    return tmp_path


def clean_acc(done):
    return json.loads(done.out)["measures"][0]["value"]


@pytest.mark.parametrize(
    "model",
    [
        ("--model", "net.py:make", "--weights", "w.pth"),
        ("--model", "net.py:make=w.pth"),
        ("--model", "mine=net.py:make", "--weights", "w.pth"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_checkpoint_of_ones_own_network_is_one_command(clbench, model):
    done = clbench("eval", *model, "--data", "d.npz", *FAST, "--json")
    assert done.status == 0, done.err
    assert clean_acc(done) == 1.0
    record = json.loads(done.out)
    assert record["flags"] == []
    assert record["model"]["name"] == ("mine" if "mine=net.py:make" in model else "net.py:make")
    did = "taken from 'state_dict', without the prefix 'module.'"
    assert done.err == f"clbench: weights w.pth: {did}\n"
    assert record["model"]["source"].endswith(f", w.pth ({did})")


@pytest.mark.usefixtures("folder")
def test_pictures_of_a_parquet_file_are_evaluated(clbench):
    pictures = []
    for one in np.uint8(PIXELS[..., 0] / 16 * 255):
        Image.fromarray(one).save(file := io.BytesIO(), "PNG")
        pictures.append(file.getvalue())
    pq.write_table(pa.table({"image": pictures, "label": LABELS}), "digits.parquet")
    model = ("--model", "net.py:make", "--weights", "w.pth")
    done = clbench("eval", *model, "--data", "digits.parquet", *FAST, "--json")
    assert done.status == 0, done.err
    assert clean_acc(done) == 1.0
    assert json.loads(done.out)["data"]["name"] == "digits.parquet"


@pytest.mark.usefixtures("folder")
def test_forgotten_weights_are_flagged(clbench):
    done = clbench("eval", "--model", "net.py:make", "--data", "d.npz", *FAST, "--strict")
    assert done.status == 3
    assert "chance_accuracy" in done.out
    assert "weights forgotten" in done.out


@pytest.mark.usefixtures("folder")
def test_images_that_nobody_asked_for_are_said(clbench):
    done = clbench("eval", "--model", "net.py:make", *FAST, "--n-examples", "8", "--json")
    line = "net.py:make runs on digits, the images of the default protocol; others by --data or"
    assert done.err.startswith(f"clbench: {line}")
    assert clbench("eval", "--model", "simclr_at", *FAST, "--n-examples", "8", "--json").err == ""


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        ("simclr_at.digits", "ink.npz", "got 16 as the brightest"),
        ("simclr_at.digits", "shifted.npz", "as the network has 10 outputs, got 10 at example"),
        ("simclr_at.digits", "marked.npz", "got 255 at example 39; leave out the 1 of 40 images"),
        ("simclr_at.digits", "large.npz", "takes images of 1x8x8"),
        ("w.pth", "d.npz", "'w.pth' is a weights file, not a network"),
        ("timm:local-dir:someone", "d.npz", "must be a folder with config.json"),
        ("simclr_at.digits=absent.pt", "d.npz", "weights absent.pt cannot be read"),
        ("simclr_at.digits=w.pth", "d.npz", "weights w.pth are of another network"),
        ("simclr_at.digits", "w.pth", "is a file of torch.save or pickle"),
        ("simclr_at.digits", "net.py", "is of no known format"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_right_is_one_line(clbench, model, data, said):
    done = clbench("eval", "--model", model, "--data", data, *FAST)
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


@pytest.mark.usefixtures("folder")
def test_probe_reads_the_same_arguments(clbench):
    done = clbench(
        *("probe", "--model", "net.py:make=w.pth", "--model", "mine=net.py:make"),
        *(
            "--data",
            "d.npz",
            "--eps",
            "1/255",
            "--comparison",
            "clean-clean",
            "--no-figures",
            "--json",
        ),
    )
    assert done.status == 0, done.err
    names = [model["name"] for model in json.loads(done.out)["models"]]
    assert names[1] == "mine"
    assert names[0].startswith("net.py:make@")
