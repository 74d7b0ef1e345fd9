"""Commands that exchange numbers with others: export, external, show beside them, corruptions."""

import hashlib
import json
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from clbench.schema.corruptions import COMMON

N = 20


@pytest.fixture
def out(clbench, net, images, tmp_path):
    """A folder with the record of a network of one's own."""
    folder = tmp_path / "out"
    what = ("--model", net(), "--data", images(), "--eps", "1/5", "--attack", "pgd,steps=2")
    assert clbench("eval", *what, "--no-probe", "--quiet", "--out", folder).status == 0
    return folder


@pytest.fixture
def record(out):
    (path,) = (out / "records").rglob("*.json")
    return path


def test_an_export_tells_what_it_wrote(clbench, out, tmp_path):
    done = clbench("leaderboard", "export", tmp_path / "to", "--format", "hf-model-index",
                   "--out", out)  # fmt: skip
    assert (done.status, done.err) == (0, "")
    (line,) = done.out.splitlines()
    assert line.startswith(f"wrote {tmp_path}/to/")
    asked = ("leaderboard", "export", tmp_path / "to", "--format", "every-eval-ever", "--json")
    told = json.loads(clbench(*asked, "--out", out).out)
    assert len(told["paths"]) == 2
    assert told["left_out"] == []


def test_what_has_no_place_is_one_line(clbench, out, tmp_path):
    done = clbench("leaderboard", "export", tmp_path / "to", "--format", "robustbench",
                   "--out", out)  # fmt: skip
    assert (done.status, done.out) == (2, "")
    assert "has no place" not in done.err
    assert "RobustBench has no data set images.npz" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_lower_number_is_added_shown_and_ranked(clbench, out, record):
    ours = json.loads(record.read_text())["measures"][1]["value"]
    assert ours > 0
    added = clbench("leaderboard", "external", record, "--source", "A. Nother",
                    "--robust-acc", "0")  # fmt: skip
    assert added.status == 0
    told = "best known robust accuracy 0.00 %, by A. Nother (no certificate)"
    assert told in added.out
    assert told in clbench("show", record).out
    rows = json.loads(clbench("leaderboard", "show", "--json", "--out", out).out)
    assert (rows[0]["external"], rows[0]["robust_acc"]) == (0, ours)
    assert "external" in clbench("leaderboard", "show", "--out", out).out
    assert clbench("leaderboard", "check", "--out", out).status == 0
    again = clbench("leaderboard", "external", record, "--source", "B", "--robust-acc", "0.5")
    assert again.status == 2
    assert "must be below 0, which 'A. Nother', added before, has" in again.err


def test_entries_of_others_are_of_other_data_here(clbench, out, tmp_path):
    done = clbench("leaderboard", "show", "--out", out, "--with-robustbench", tmp_path)
    assert done.status == 2
    assert "holds no entries of RobustBench" in done.err


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """CIFAR-10 and CIFAR-10-C, 20 images of each, in their public layouts."""

    def put(file, **content):
        file.write_bytes(pickle.dumps(content))
        return hashlib.md5(file.read_bytes()).hexdigest()

    labels = np.arange(N) % 10
    pixels = np.random.default_rng(0).integers(0, 256, (N, 3, 32, 32), dtype=np.uint8)
    folder = tmp_path / "data" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    flat = pixels.reshape(N, -1)
    test = put(folder / "test_batch", data=flat, labels=labels.tolist())
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", test]])
    monkeypatch.setattr(CIFAR10, "train_list", [["test_batch", test]])
    meta = put(folder / "batches.meta", label_names=[str(i) for i in range(10)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": meta})
    at = tmp_path / "data" / "CIFAR-10-C"
    at.mkdir()
    for name in COMMON:
        np.save(at / f"{name}.npy", np.tile(pixels.transpose(0, 2, 3, 1), (5, 1, 1, 1)))
    np.save(at / "labels.npy", np.tile(labels, 5))
    return tmp_path / "data"


def test_corrupted_images_are_looked_at(clbench, data_dir, tmp_path):
    (tmp_path / "file.csv").write_text("\n")
    asked = ("corruptions", "--model", "supervised_st", "--dataset", "cifar10-c")
    asked = (*asked, "--data-dir", data_dir, "--n-examples", N, "--out", tmp_path / "out")
    done = clbench(*asked)
    assert done.status == 0
    assert "supervised_st on 20 examples of cifar10-c" in done.out
    assert "corruptions acc" in done.out
    assert "jpeg compression" in done.out
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    shown = clbench("show", path)
    assert shown.status == 0
    assert "jpeg compression" in shown.out
    told = json.loads(clbench(*asked, "--json").out)
    assert told["data"]["name"] == "cifar10-c"
    measures = {one["name"]: one["value"] for one in told["measures"]}
    assert measures["corruptions_acc"] == pytest.approx(measures["clean_acc"])
    assert clbench("leaderboard", "check", "--out", tmp_path / "out").status == 0
    refused = clbench(*asked, "--baseline", tmp_path / "file.csv")
    assert (refused.status, len(refused.err.splitlines())) == (2, 1)
