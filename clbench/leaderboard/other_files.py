"""What a file is that somebody gives for an evaluation record and that is none."""

import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from clbench.evaluation.parts import part_at, parts_in
from clbench.schema.dataclass_io import parse_json
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.files import DAMAGED_NPZ
from clbench.schema.records import EvaluationRecord

_WHERE = "give one, such as results/records/.../NAME.json"

_BY_FIELDS: Mapping[frozenset[str], str] = {
    frozenset({"models", "measure", "estimator"}): "the record of clbench probe",
    frozenset({"models", "kinds", "estimator"}): "the record of clbench probe",
    frozenset({"recipe", "selected", "weights_sha256"}): "the record of a training",
    frozenset({"findings"}): "the findings of clbench probe",
}
"""What tables of JSON are, by fields that only they have; one of 0.1 had kinds, not a measure."""

_BY_ARRAYS: Mapping[frozenset[str], str] = {
    frozenset({"broken_by", "about"}): "the progress of an evaluation",
    frozenset({"broken_by", "label"}): "the evidence of a record",
    frozenset({"matrices"}): "matrices of clbench probe",
    frozenset({"x", "y"}): "images and labels",
    frozenset({"bundle.json", "record.json"}): "a bundle, which clbench leaderboard add verifies",
}
_BY_SUFFIX: Mapping[str, str] = {
    ".py": "Python source",
    ".toml": "a protocol or a recipe",
    ".csv": "a table",
    ".jsonl": "a list of events",
    ".parquet": "images and labels",
    ".png": "a figure",
    ".svg": "a figure",
    ".md": "text",
    ".txt": "text",
    **dict.fromkeys((".pt", ".pth", ".tar", ".safetensors"), "weights"),
}


def check_is_record(path: Path) -> None:
    """Say what a file or folder is that was given for a record and is none.

    A record that is damaged is one, and so is what lies in a folder of records; that a file cannot
    be read is for whoever reads it to say.

    Raises:
        RecordError: It is something else; the message says what, and names a record.
    """
    if path.is_dir():
        raise RecordError(f"{str(path)!r} is a folder; {_one_of(path)}")
    try:
        what = _what(path) if path.is_file() else ""
    except PermissionError:
        return
    part = part_at(path)
    if what and part is not None:
        out = path.parent.parent
        raise RecordError(
            f"{str(path)!r} is shard {part.shard} of a run, no evaluation record; clbench merge "
            f"{out} joins all"
        )
    if what:
        raise RecordError(
            f"{str(path)!r} is {what}, no evaluation record; {_record_beside(path) or _WHERE}"
        )


def _one_of(folder: Path) -> str:
    """Return the advice to give a record of a folder, by name where there is one."""
    records = folder if "records" in folder.absolute().parts else folder / "records"
    first = min(records.rglob("*.json"), default=None)
    if first is None and parts_in(folder / "progress"):
        return f"clbench merge {folder} joins the shards in it"
    return f"give a record in it, such as {first}" if first else _WHERE


def _record_beside(evidence: Path) -> str:
    """Return the advice to give the record that an evidence file belongs to, "" without one."""
    place = evidence.with_suffix(".json")
    names = ["records" if part == "evidence" else part for part in place.parts]
    return f"give {Path(*names)}" if Path(*names) != place and Path(*names).is_file() else ""


def _what(path: Path) -> str:
    """Return what a file is, "" where it is a record, whole or damaged."""
    if zipfile.is_zipfile(path):
        return _what_archive(path)
    if path.suffix == ".json" and "records" in path.absolute().parts:
        return ""
    with path.open("rb") as file:
        is_table = file.read(64).lstrip().startswith(b"{")
    if is_table and path.suffix != ".jsonl":
        return _what_table(path.read_bytes())
    return _BY_SUFFIX.get(path.suffix, "no JSON")


def _what_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name.removesuffix(".npy") for name in archive.namelist()}
    except DAMAGED_NPZ:
        arrays = set()
    found = (what for those, what in _BY_ARRAYS.items() if those <= arrays)
    return next(found, _BY_SUFFIX.get(path.suffix, "an archive"))


def _what_table(data: bytes) -> str:
    try:
        table: Any = parse_json(data)
    except BadValueError:
        return "" if b'"schema_version"' in data else "no JSON"
    for those, what in _BY_FIELDS.items():
        if those <= table.keys():
            return what
    known = {one.name for one in fields(EvaluationRecord)}
    return "" if len(known & table.keys()) > len(known) / 2 else "JSON of another kind"
