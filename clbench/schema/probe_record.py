"""What ``clbench probe`` compared, and how: the content of ``probe.json``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.schema.dataclass_io import read_json, to_json
from clbench.schema.files import write_atomically
from clbench.schema.records import AttackEntry, DataEntry, ModelEntry, ThreatEntry

SCHEMA_VERSION = 3
"""Raised when a field changes its meaning, its name or goes; older files are still read."""


@dataclass(frozen=True)
class ProbeRecord:
    """What was compared, and how. The order of the fields is that of the file.

    ``training`` are the images that linear probes were fitted on, and ``pooling`` how much of the
    place their features keep; None and "" without linear probes. ``layers`` are as they were asked
    for, empty for the usual ones; ``common`` is the model that the images common to all were made
    against, "" where there are none; ``permutations`` are the orders of the examples that chance is
    judged by, 0 for none; ``wall_s`` is without the figures; ``files`` are what else was written,
    by name, each with its sha256.
    """

    schema_version: int
    protocol: str
    models: tuple[ModelEntry, ...]
    data: DataEntry
    training: DataEntry | None
    pooling: str
    threat_model: ThreatEntry
    attack: AttackEntry
    comparisons: tuple[str, ...]
    common: str
    layers: tuple[str, ...]
    measure: str
    estimator: str
    permutations: int
    seed: int
    device: str
    wall_s: float
    versions: dict[str, str]
    commit: str
    created: str
    files: dict[str, str]


_NAMES_OF_1 = {"extent": "pooling", "kinds": "comparisons", "taps": "layers"}
"""What fields were called in schema version 1, which knew no measure but CKA."""


def write_probe_record(record: ProbeRecord, path: Path) -> None:
    """Write a record; the file is either the old one or the whole new one.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    write_atomically(path, to_json(record))


def read_probe_record(path: Path) -> ProbeRecord:
    """Read a record of this schema version or an older one, as one of this version.

    Raises:
        RecordError: The file is missing, cut off, of an unknown schema version, or lacks a field.
    """
    return read_json(
        path,
        ProbeRecord,
        "comparison",
        remedy=f"run clbench probe --out {path.parent} --restart",
        schema_versions=(1, 2, SCHEMA_VERSION),
        upgrade=_upgraded,
    )


def _upgraded(table: dict[str, Any]) -> dict[str, Any]:
    if table["schema_version"] == SCHEMA_VERSION:
        return table
    if table["schema_version"] == 1:
        renamed = {_NAMES_OF_1.get(name, name): value for name, value in table.items()}
        table = renamed | {"measure": "cka"}
    return table | {"schema_version": SCHEMA_VERSION, "permutations": 0}
