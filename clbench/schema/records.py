"""One run as JSON: the source of truth that the leaderboard is generated from."""

import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
    text = json.dumps(_without_nan(asdict(record)), indent=1, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: The file is missing, cut off, of an unknown schema version, or lacks a field.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"record {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(
            f"record {path} is cut off or no JSON ({error}); delete it, or run its "
            "evaluation again with --restart"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"record {path} has schema version {version!r}, this clbench reads {SCHEMA_VERSION}; "
            "upgrade clbench, or run its evaluation again with --restart"
        )
    try:
        record = _build(Record, content, "record")
    except ValueError as error:
        raise RecordError(
            f"record {path} is damaged: {error}; run its evaluation again with --restart"
        ) from error
    assert isinstance(record, Record), "a record was built"
    return record


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _build(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return ``value`` from JSON as the type ``kind``, checked all the way down."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is tuple:
        items = _expect(list, value, where)
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is dict:
        table = _expect(dict, value, where)
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in table.items()}
    if kind is float:
        return math.nan if value is None else float(_expect((int, float), value, where))
    return _expect(arguments if origin in (typing.Union, types.UnionType) else kind, value, where)


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any dataclass
    table: Mapping[str, Any] = _expect(dict, value, where)
    known = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if wrong := [name for name in names if name not in table]:
        raise ValueError(f"{where} lacks {', '.join(wrong)}")
    if wrong := [name for name in table if name not in known]:
        raise ValueError(f"{where} has the unknown field {', '.join(wrong)}")
    return kind(**{name: _build(known[name], table[name], f"{where}.{name}") for name in names})


def _expect(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON value
    allowed = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in allowed:
        wanted = " or ".join(one.__name__ for one in allowed)
        raise ValueError(f"{where} must be {wanted}, got {value!r}")
    return value


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
