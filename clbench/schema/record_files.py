"""Where the files of runs lie, and records read and written there."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from clbench.schema.dataclass_io import read_json, to_json
from clbench.schema.errors import RecordError
from clbench.schema.files import ASIDE, safe_name, write_atomically
from clbench.schema.records import (
    SCHEMA_VERSION,
    UNBOUND_VERSIONS,
    EvaluationRecord,
    RunIdentity,
)

_WITHOUT_VALUES = 2
"""In records up to this version flags are names, without a value or a threshold."""

AGAIN = "run its evaluation again with --restart"


class RunPaths(NamedTuple):
    """Where the files of one run belong."""

    record: Path
    evidence: Path
    progress: Path


def run_paths(out: Path, run: RunIdentity) -> RunPaths:
    """Return where the files of ``run`` belong: ``out/<kind>/<dataset>/<norm>/<model>~<hash>.*``.

    The name carries the run's hash, so that no two runs ever share a file. That of progress ends
    with the batch size, after the hash of the run without it: progress with another batch size is
    found beside it.
    """
    norm = run.threat_model.norm if run.threat_model else "clean"
    folder, model = Path(safe_name(run.data.name)) / norm, safe_name(run.model.name)
    return RunPaths(
        record=out / "records" / folder / f"{model}~{run.hash}.json",
        evidence=out / "evidence" / folder / f"{model}~{run.hash}.npz",
        progress=out
        / "progress"
        / f"{model}~{replace(run, batch_size=0).hash}~{run.batch_size}.npz",
    )


def evidence_of(record: Path, out: Path) -> Path:
    """Return where the evidence of a record's file lies."""
    return _beside(record, out, "evidence")


def certificate_of(record: Path, out: Path) -> Path:
    """Return where the adversarial images behind a record's external accuracy lie."""
    return _beside(record, out, "external")


def _beside(record: Path, out: Path, kind: str) -> Path:
    return (out / kind / record.relative_to(out / "records")).with_suffix(".npz")


def folder_of(record: Path) -> Path | None:
    """Return the folder of results that a record's file lies in; None where it lies alone."""
    place = record.absolute()
    return next((one.parent for one in place.parents if one.name == "records"), None)


def write_record(record: EvaluationRecord, path: Path) -> None:
    """Write ``record`` to ``path``; the file is either the old one or the whole new one.

    One that was read from a bound file of an older version is written in today's.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    if record.is_bound:
        record = replace(record, schema_version=SCHEMA_VERSION)
    write_atomically(path, to_json(record, checksum=record.is_bound))


def read_record(path: Path, *, whatever_checksum: bool = False) -> EvaluationRecord:
    """Read a record.

    Args:
        path: Its file.
        whatever_checksum: Whether one that was changed since it was written is read all the same,
            to tell what is wrong with it.

    Raises:
        RecordError: The file is missing, cut off, changed since it was written, of an unknown
            schema version, or lacks a field.
    """
    return read_json(
        path,
        EvaluationRecord,
        "record",
        remedy=AGAIN,
        schema_versions=range(1, SCHEMA_VERSION + 1),
        checked_versions=sorted({*range(1, SCHEMA_VERSION + 1)} - {*UNBOUND_VERSIONS}),
        upgrade=_with_flags,
        whatever_checksum=whatever_checksum,
    )


def _with_flags(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table of a record whose flags are tables."""
    flags = table.get("flags")
    if table.get("schema_version", 0) > _WITHOUT_VALUES or not isinstance(flags, list):
        return table
    named = [{"name": flag} if isinstance(flag, str) else flag for flag in flags]
    return table | {"flags": named}


def record_files(out: Path) -> list[Path]:
    """Return the files of all records under ``out``, in the order of their paths."""
    return sorted(path for path in (out / "records").rglob("*.json") if ASIDE not in path.name)


def records_by_path(out: Path) -> dict[Path, EvaluationRecord]:
    """Return every record under ``out`` by its file, in the order of their paths.

    Raises:
        RecordError: One of them cannot be read, or two files hold one run; the message names them.
    """
    found: dict[Path, EvaluationRecord] = {}
    first: dict[str, Path] = {}
    for path in record_files(out):
        record = read_record(path)
        other = first.setdefault(record.run.hash, path)
        if other != path:
            raise RecordError(f"records {other} and {path} are of one run; move one of them away")
        found[path] = record
    return found


def read_records(out: Path) -> list[EvaluationRecord]:
    """Return every record under ``out``, in the order of their paths.

    Raises:
        RecordError: As ``records_by_path``.
    """
    return list(records_by_path(out).values())
