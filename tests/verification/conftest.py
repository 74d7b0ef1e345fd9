"""A small network with an honest record, and somebody who forges it and mends every hash."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from frauds import ATTACK, N

import clbench
from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import accuracies
from clbench.leaderboard.table import build
from clbench.schema.attack_spec import attack_hash
from clbench.schema.dataclass_io import checksum_of, from_table, to_json
from clbench.schema.files import sha256_of
from clbench.schema.record_files import (
    evidence_of,
    read_record,
    record_files,
    run_paths,
    write_record,
)
from clbench.schema.records import EvaluationRecord

NETWORKS = """
import torch
from torch import nn


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 5))


def make_other():
    return make(1)


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = make()


class Noisy(Around):
    def forward(self, x):
        return self.inner(x + 0.02 * torch.randn_like(x))


class Batchwise(Around):
    def forward(self, x):
        return self.inner(x - 0.5 * x.mean(dim=0, keepdim=True))


class Soft(Around):
    def forward(self, x):
        return self.inner(x).softmax(dim=1)


class Flat(Around):
    def forward(self, x):
        return self.inner((x * 4).round() / 4)


make_noisy, make_batchwise, make_soft, make_flat = Noisy, Batchwise, Soft, Flat
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with networks, images, and the honest record of one of them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "net.py").write_text(NETWORKS)
    space: dict = {}
    exec(NETWORKS, space)
    torch.manual_seed(1)
    images = (torch.rand(N, 1, 8, 8) * 255).round().to(torch.uint8)
    labels = space["make"]()(images / 255).argmax(1)
    labels[::12] = (labels[::12] + 1) % 5
    np.savez(folder / "images.npz", x=images.permute(0, 2, 3, 1).numpy(), y=labels.numpy())
    return folder


@pytest.fixture(scope="session")
def honest(made):
    """Return a function that gives the folder of an honest record, made once."""
    done: dict = {}

    def of(name="make", attack=ATTACK, **settings):
        key = (name, attack, *sorted(settings.items()))
        if key not in done:
            out = made / f"out{len(done)}"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(made)
                given = {"data": "images.npz", "eps": "1/25", "probe": False, "out": out}
                clbench.evaluate(f"net.py:{name}", attack=attack, **(given | settings))
            done[key] = out
        return done[key]

    return of


@dataclass
class Forger:
    """The only record in a folder, to be altered and sealed again as if nothing had happened."""

    out: Path
    content: dict = field(init=False)
    evidence: Evidence = field(init=False)

    def __post_init__(self):
        (self.path,) = record_files(self.out)
        self.content = json.loads(self.path.read_text())
        sha256 = self.content["evidence_sha256"]
        self.evidence = read_evidence(evidence_of(self.path, self.out), sha256)

    @property
    def record(self) -> EvaluationRecord:
        content = {key: value for key, value in self.content.items() if key != "checksum"}
        return from_table(EvaluationRecord, content, "record")

    def write(self, **changes):
        """Write the record with some fields changed, its checksum mended and nothing else."""
        content = self.content | changes
        self.path.write_text(json.dumps(content | {"checksum": checksum_of(content)}))

    def measure(self, name):
        return next(one for one in self.content["measures"] if one["name"] == name)

    def seal(self, *, measures=True, hashes=True, identity=True, table=True):
        """Write record and evidence with every number and hash that follows from them."""
        self.path.unlink()
        evidence_of(self.path, self.out).unlink(missing_ok=True)
        attack = self.content["attack"]
        if hashes:
            attack["hash"] = attack_hash(attack["name"], attack["parameters"])
        if measures:
            follow = accuracies(list(attack["parameters"]), self.evidence.broken_by.tolist())
            mine = {one.name: one for one in follow}
            others = [one for one in self.record.measures if one.name not in mine]
            others = [one for one in others if not one.name.startswith("acc_after_")]
            made = replace(self.record, measures=(*follow, *others))
            self.content = json.loads(to_json(made, checksum=False))
        record = self.record
        if identity:
            self.evidence = replace(self.evidence, identity=record.run.hash)
        data = self.evidence.to_bytes()
        record = replace(record, evidence_sha256=sha256_of(data))
        paths = run_paths(self.out, record.run)
        paths.record.parent.mkdir(parents=True, exist_ok=True)
        paths.evidence.parent.mkdir(parents=True, exist_ok=True)
        paths.evidence.write_bytes(data)
        write_record(record, paths.record)
        self.path = paths.record
        if table:
            build(self.out)

    def seal_as_it_is(self):
        """Write the record as JSON with the right checksum, as far as there can be one."""
        evidence_of(self.path, self.out).write_bytes(self.evidence.to_bytes())
        try:
            checksum = checksum_of(self.content)
        except ValueError:
            checksum = "0" * 64
        self.path.write_text(json.dumps(self.content | {"checksum": checksum}))


@pytest.fixture
def forge(tmp_path):
    """Return a function that copies a folder of results, for somebody who forges it."""

    def copied(folder):
        out = tmp_path / "forged"
        shutil.copytree(folder, out)
        return Forger(out)

    return copied


@pytest.fixture
def stored():
    """Return a function that reads the only record in a folder."""
    return lambda out: read_record(record_files(out)[0])
