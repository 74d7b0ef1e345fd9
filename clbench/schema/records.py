"""One run as JSON: the source of truth that the leaderboard is generated from."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clbench.schema.dataclass_io import read_json, to_json
from clbench.schema.errors import RecordError
from clbench.schema.estimate import Estimate
from clbench.schema.files import sha256_of, write_atomically

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning or goes; every older file must still be readable."""

Parameter = int | float | str | bool
"""What an attack's parameter may be."""


@dataclass(frozen=True)
class ModelEntry:
    """What was evaluated; scheme, scenario and tag are "" for models from elsewhere."""

    name: str
    scheme: str
    scenario: str
    backbone: str
    tag: str
    weights_sha256: str
    source: str


@dataclass(frozen=True)
class DataEntry:
    """What it was evaluated on; ``sha256`` is over images and labels."""

    name: str
    n: int
    sha256: str


@dataclass(frozen=True)
class ThreatEntry:
    """Which perturbations were allowed; ``eps`` is exact, as text."""

    norm: str
    eps: str


@dataclass(frozen=True)
class AttackEntry:
    """What attacked it: the effective parameters of every attack of the cascade, and their hash."""

    name: str
    backend: str
    parameters: dict[str, dict[str, Parameter]]
    hash: str


@dataclass(frozen=True)
class Counts:
    """Images that went forward and backward through the network under attack."""

    forward: int
    backward: int


@dataclass(frozen=True)
class Run:
    """What decides the verdicts, known before the first attack: equal runs end equally."""

    model: ModelEntry
    data: DataEntry
    threat_model: ThreatEntry
    attack: AttackEntry
    seed: int

    @property
    def identity(self) -> str:
        """The hash that tells one run from another: 12 hexadecimal digits."""
        decisive = (
            *(self.model.name, self.model.weights_sha256, self.model.source),
            *(self.data.name, self.data.sha256),
            *(self.threat_model.norm, self.threat_model.eps),
            *(self.attack.hash, str(self.seed)),
        )
        return sha256_of(json.dumps(decisive).encode())[:12]


@dataclass(frozen=True)
class Record:
    """One finished run. The order of the fields is the file format: add at the end only."""

    schema_version: int
    protocol: str
    model: ModelEntry
    data: DataEntry
    threat_model: ThreatEntry
    attack: AttackEntry
    measures: tuple[Estimate, ...]
    flags: tuple[str, ...]
    unreliable: bool
    seed: int
    counts: Counts
    wall_s: float
    device: str
    precision: str
    batch_size: int
    versions: dict[str, str]
    commit: str
    created: str

    @property
    def run(self) -> Run:
        """What decided this record's verdicts."""
        return Run(self.model, self.data, self.threat_model, self.attack, self.seed)

    def measure(self, name: str) -> Estimate | None:
        """Return the measure called ``name``, or None where this run has none."""
        return next((measure for measure in self.measures if measure.name == name), None)


class Places(NamedTuple):
    """Where the files of one run belong."""

    record: Path
    evidence: Path
    progress: Path


def places(out: Path, run: Run, *, replace_damaged: bool = False) -> Places:
    """Return where the files of ``run`` belong: ``out/<kind>/<dataset>/<norm>/<model>.*``.

    Another run of the same model (other eps, attack, weights or seed) may already be there; it is
    kept, and the new run bears its identity in its file names.

    Raises:
        RecordError: The record already there cannot be read, and may not be replaced.
    """
    folder = Path(_safe(run.data.name)) / run.threat_model.norm
    stem = _safe(run.model.name)
    taken = out / "records" / folder / f"{stem}.json"
    try:
        other = taken.exists() and read(taken).run.identity != run.identity
    except RecordError:
        if not replace_damaged:
            raise
        other = False
    if other:
        stem = f"{stem}~{run.identity}"
    return Places(
        record=out / "records" / folder / f"{stem}.json",
        evidence=out / "evidence" / folder / f"{stem}.npz",
        progress=out / "progress" / f"{run.identity}.npz",
    )


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_"


def write(record: Record, path: Path) -> None:
    """Write ``record`` to ``path``; the file is either the old one or the whole new one.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    write_atomically(path, to_json(record))


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: The file is missing, cut off, of an unknown schema version, or lacks a field.
    """
    return read_json(
        path,
        Record,
        "record",
        remedy="run its evaluation again with --restart",
        schema_versions=(SCHEMA_VERSION,),
    )


MOST_STAGES = 4
"""Stages of a network that have columns of their own."""


def similarity_columns(measure: str) -> tuple[str, ...]:
    """Return the columns of a similarity of clean and adversarial representations, in order.

    >>> similarity_columns("cka")[:2]
    ('cka_stem', 'cka_stage1')
    """
    stages = (f"stage{k}" for k in range(1, MOST_STAGES + 1))
    return tuple(f"{measure}_{place}" for place in ("stem", *stages, "pool", "logits", "mean"))


CKA_COLUMNS = similarity_columns("cka")


def left_after(attack: str) -> str:
    """Return the column, and the measure, of the accuracy left after an attack of a cascade."""
    return f"acc_after_{attack}"


def read_records(out: Path) -> list[Record]:
    """Return every record under ``out``, in the order of their paths.

    Raises:
        RecordError: One of them cannot be read; the message names it.
    """
    return [read(path) for path in sorted((out / "records").rglob("*.json"))]
