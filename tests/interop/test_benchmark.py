"""RobustBench's own ``benchmark`` on the public CIFAR-10 layout, against clbench's evaluation."""

import hashlib
import json
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.datasets import CIFAR10

import clbench
from clbench.attacks.registry import bind, plan_attack
from clbench.data.load import load_test_set
from clbench.evaluation.run import evaluate
from clbench.interop.robustbench import benchmark
from clbench.schema.threat_model import ThreatModel

N = 64
EPS = Fraction(8, 255)
REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10_test_head.npz"


def read_images():
    """Return the first test images of CIFAR-10, or ten kinds of waves where they are not here."""
    if REAL.exists():
        with np.load(REAL) as arrays:
            return arrays["x"][:N], arrays["y"][:N].astype(int)
    labels = np.arange(N) * 7 % 10
    row, column, channel = np.meshgrid(*(np.arange(size) for size in (32, 32, 3)), indexing="ij")
    phase = (row * (labels[:, None, None, None] + 1) + column * 3) / 16 + channel
    shift = np.arange(N)[:, None, None, None] / N
    return np.round(255 * (0.5 + 0.1 * np.sin(phase + shift))).astype(np.uint8), labels


def write(file, **content):
    """Pickle ``content`` as the public files are, and return the md5."""
    file.write_bytes(pickle.dumps(content))
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A folder with the archive's files, few images in each; their md5 count as published."""
    pixels, labels = read_images()
    flat, folder = pixels.transpose(0, 3, 1, 2).reshape(N, -1), tmp_path / CIFAR10.base_folder
    folder.mkdir()
    test = write(folder / "test_batch", data=flat, labels=labels.tolist())
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", test]])
    parts = [f"data_batch_{i}" for i in range(1, 6)]
    lists = [[part, write(folder / part, data=flat[:1], labels=[0])] for part in parts]
    monkeypatch.setattr(CIFAR10, "train_list", lists)
    meta = write(folder / "batches.meta", label_names=[str(i) for i in range(10)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": meta})
    return tmp_path


@pytest.fixture
def network():
    """Ridge regression on blurred pixels: most images are right, a few withstand attack."""
    pixels, labels = read_images()
    blur = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    features = blur(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    features = torch.cat([features, torch.ones(N, 1)], dim=1).double()
    targets = nn.functional.one_hot(torch.from_numpy(labels), 10).double() - 0.1
    gram = features.T @ features + 0.1 * torch.eye(features.shape[1])
    weights = 10 * torch.linalg.solve(gram, features.T @ targets).float()
    linear = nn.Linear(48, 10)
    linear.load_state_dict({"weight": weights[:-1].T, "bias": weights[-1]})
    return nn.Sequential(blur, linear).eval()


@pytest.fixture
def run(network, data_dir):
    def call(n, model=network, **options):
        return benchmark(
            model,
            n_examples=n,
            dataset="cifar10",
            threat_model="Linf",
            eps=float(EPS),
            data_dir=str(data_dir),
            batch_size=N,
            **options,
        )

    return call


@pytest.mark.slow
def test_robustbench_and_clbench_agree_within_one_example(run, network, data_dir, tmp_path):
    clean, robust = run(N, log_path=tmp_path / "log.txt")
    outcome = evaluate(
        network,
        load_test_set("cifar10", n_examples=N, data_dir=data_dir),
        bind(plan_attack("autoattack", "Linf", 10), 10),
        ThreatModel("Linf", EPS),
        seed=0,
        batch_size=N,
        device="cpu",
    )
    assert clean == outcome.clean_acc.value
    assert abs(robust - outcome.robust_acc.value) <= 1 / N
    assert 0 < robust < clean
    assert f"robust accuracy: {robust:.2%}" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
def test_robustbench_and_clbench_eval_give_the_same_verdicts(run, network, data_dir, tmp_path):
    state, n = tmp_path / "state.json", 16
    run(n, aa_state_path=state)
    done = clbench.evaluate(
        network,
        protocol="cifar10-linf",
        data_dir=data_dir,
        n_examples=n,
        backend="pyautoattack",
        batch_size=n,
        probe=False,
    )
    robust = json.loads(state.read_text())["_robust_flags"]
    assert 0 < sum(robust) < n
    assert (done.examples.broken_by == "").tolist() == robust


class Stopped(nn.Module):
    """A network that is stopped, like by Ctrl-C, after some calls."""

    def __init__(self, network, calls):
        super().__init__()
        self.network, self.left = network, calls

    def forward(self, x):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return self.network(x)


def test_a_benchmark_that_was_stopped_goes_on(run, network, tmp_path, capsys):
    state, n = tmp_path / "state.json", 16
    with pytest.raises(KeyboardInterrupt):
        run(n, Stopped(network, 1500).eval(), aa_state_path=state)
    so_far = json.loads(state.read_text())
    assert so_far["_run_attacks"][0] == "apgd-ce"
    capsys.readouterr()
    clean, robust = run(n, aa_state_path=state)
    said = capsys.readouterr().out
    assert f"restored state from {state}" in said
    assert "apgd-ce - " not in said, "what was done is not done again"
    done = json.loads(state.read_text())
    assert done["_run_attacks"] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert robust == sum(done["_robust_flags"]) / n <= sum(so_far["_robust_flags"]) / n
    assert clean == done["_clean_accuracy"]
