"""The files of one training: weights, log, model card, and what tells that it is finished."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from clbench.schema.dataclass_io import read_json, to_json
from clbench.schema.errors import RecordError, StorageError
from clbench.schema.files import sha256_of_file, write_atomically
from clbench.schema.training_record import BACKBONE, TrainingRecord
from clbench.training.phases import Epoch

WEIGHTS, PICTURES, LOG, CARD, RECORD = (
    "weights.safetensors",
    "pictures.safetensors",
    "log.csv",
    "card.md",
    "run.json",
)
"""Half-precision weights; thumbnails of the images that the pretrained backbone, in full precision,
was trained on; the rest is text."""

REMEDY = "train again with --restart or into another folder"
"""What can be done about a file that is not what it was."""


def read_record(folder: Path) -> TrainingRecord | None:
    """Return the record of the finished training in ``folder``, or None where there is none.

    Raises:
        RecordError: There is one, but it cannot be read, or was changed since it was written.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    return read_json(path, TrainingRecord, "training record", remedy=REMEDY)


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record, which makes the training a finished one.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_atomically(folder / RECORD, to_json(record, checksum=True))


def discard_record(folder: Path) -> None:
    """Let a training in ``folder`` be no longer finished, before its files are replaced.

    Raises:
        StorageError: The folder cannot be written.
    """
    try:
        (folder / RECORD).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot replace the run in {folder}: {error.strerror}; choose another --out"
        ) from error


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of the files of a training, but for its weights and its record."""
    paths = (folder / name for name in (BACKBONE, PICTURES, LOG, CARD))
    return {path.name: sha256_of_file(path) for path in paths if path.exists()}


def check_file(folder: Path, name: str, sha256: str) -> None:
    """Check that a file of a training is the one that its record names.

    Raises:
        RecordError: It is missing or another one.
    """
    try:
        found = sha256_of_file(folder / name)
    except OSError as error:
        raise RecordError(f"{folder / name} cannot be read: {error.strerror}; {REMEDY}") from error
    if found != sha256:
        raise RecordError(
            f"{folder / name} is not the file that {RECORD} beside it names; {REMEDY}"
        )


def write_log(folder: Path, rows: Sequence[Epoch]) -> None:
    """Write the log so far; accuracies that were not measured are empty.

    Raises:
        StorageError: The folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in asdict(row).items()} for row in rows)
    write_atomically(folder / LOG, text.getvalue().encode())


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
