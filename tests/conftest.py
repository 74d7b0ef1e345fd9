"""What every test relies on: no network, and small records to work with."""

import gc
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

# before clbench: what its modules import first, jaxtyping's hook has compiled anew in every process
import annotations  # noqa: F401 - what this hook decorates with
import beartype.door  # noqa: F401
import kornia.augmentation  # noqa: F401
import lightning_fabric  # noqa: F401
import matplotlib.figure  # noqa: F401
import numpy as np
import pandas  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.linear_model  # noqa: F401
import timm  # noqa: F401
import torch
import torch.fx
from torch import nn

from clbench.attacks.grammar import read_attack
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import accuracies
from clbench.schema.estimate import proportion
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.record_files import run_paths, write_record
from clbench.schema.records import (
    SCHEMA_VERSION,
    AttackEntry,
    Counts,
    DataEntry,
    EvaluationRecord,
    ModelEntry,
    ThreatEntry,
)

LONGEST = "tests/test_readme.py"
"""Takes minutes: one process begins with it while the other does the rest."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish():
    """Have the garbage collector leave what stays for good: it takes half a second to look at."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Test files run side by side; so do the processes that they start."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a test tried to reach {address}")

    def refuse_name(host, *_args, **_kwargs):
        raise AssertionError(f"a test tried to look up {host}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_name)


@pytest.fixture(autouse=True)
def _fixed_seed():
    torch.manual_seed(0)


class Forked(NamedTuple):
    """A command, or code, that runs in a process of its own."""

    pid: int
    status: Callable[[], int]
    out: Path
    err: Path


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """Return a function that starts a command, or code, in a fork of a process that has imported.

    One at a time. Code finds the ``arguments`` in ``sys.argv``. For what is not about how a
    process starts.
    """
    script = [sys.executable, "-W", "ignore", Path(__file__).with_name("in_forks.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(script, text=True, **pipes) as process:

        def start(given, cwd, *arguments, out=None, **environment):
            folder = tmp_path_factory.mktemp("fork")
            out, err = Path(out or folder / "out"), folder / "err"
            places = {"cwd": str(cwd), "out": str(out), "err": str(err)}
            asked = {"given": given, "arguments": list(map(str, arguments))} | places
            asked["environment"] = environment
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            pid = int(process.stdout.readline())
            return Forked(pid, lambda: int(process.stdout.readline()), out, err)

        yield start


class _Counting(nn.Module):
    def __init__(self, most=math.inf):
        super().__init__()
        self.calls, self.most = 0, most

    def forward(self, x):
        self.calls += 1
        if self.calls > self.most:
            raise RuntimeError("the network broke")
        return x


@pytest.fixture
def counting():
    """Return a module that passes images on, counts them, and fails after the ``most`` passes."""
    return _Counting


@pytest.fixture
def make_record():
    """Return a factory of records; keyword arguments replace fields, ``right`` the robust count."""

    def make(name="simclr_at", *, right=60, n=100, eps="8/255", attack_hash="a" * 12, **changes):
        steps = read_attack("apgd-ce + square", "Linf", 10).parameters
        record = EvaluationRecord(
            schema_version=SCHEMA_VERSION,
            protocol="cifar10-linf",
            model=ModelEntry(name, "simclr", "at", "resnet18", "cifar10", "f" * 64, "package"),
            data=DataEntry("cifar10", n, "d" * 64),
            threat_model=ThreatEntry("Linf", eps),
            attack=AttackEntry("autoattack", "pyautoattack", steps, attack_hash),
            measures=(
                proportion("clean_acc", 90, n),
                proportion("robust_acc", right, n),
                proportion("acc_after_apgd-ce", right + 5, n),
                proportion("acc_after_square", right, n),
                proportion("cka_stage4", 80, n),
            ),
            flags=(),
            unreliable=False,
            seed=0,
            counts=Counts(1000, 500),
            wall_s=12.34,
            device="cpu",
            precision="float32",
            batch_size=128,
            versions={"clbench": "0.1.0", "torch": "2.15.0"},
            commit="c" * 40,
            created="2026-01-02T03:04:05Z",
            evidence_sha256="e" * 64,
        )
        return replace(record, **changes)

    return make


@pytest.fixture
def with_evidence(tmp_path, make_record):
    """Return a function that writes a record of these verdicts and its evidence, and its path.

    ``robust`` says of each example whether it stayed robust; ``examples`` are their places.
    """

    def write(name, robust, *, out=tmp_path, examples=None, training=(None, ""), **changes):
        robust = np.asarray(robust, dtype=bool)
        n = len(robust)
        record = make_record(name, n=n, **changes)
        record = replace(
            record,
            data=replace(changes.get("data", DataEntry("cifar10", n, "d" * 64)), n=n),
            model=replace(record.model, training_seed=training[0], recipe_sha256=training[1]),
        )
        broken_by = np.where(robust, "", "apgd-ce")
        label = np.zeros(n, dtype=int)
        places = np.arange(n) if examples is None else np.asarray(examples)
        evidence = Evidence(
            record.run.hash, places, label, label, np.where(robust, 0, 1), broken_by
        ).to_bytes()
        record = replace(
            record,
            measures=accuracies(record.components, broken_by.tolist()),
            evidence_sha256=sha256_of(evidence),
        )
        paths = run_paths(out, record.run)
        write_atomically(paths.evidence, evidence)
        write_record(record, paths.record)
        return paths.record

    return write


@pytest.fixture
def firsts():
    """Return a function that makes verdicts: the first so many of ``n`` stay robust."""

    def make(count, n=100):
        return np.arange(n) < count

    return make
