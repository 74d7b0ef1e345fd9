"""The files of one training: weights, log, model card, and what tells that it is finished."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from clbench.schema.errors import RecordError, StorageError
from clbench.schema.files import write_atomically
from clbench.training.phases import Epoch

WEIGHTS, BACKBONE, LOG, CARD, SUMMARY = (
    *("weights.safetensors", "backbone.safetensors"),
    *("log.csv", "card.md", "run.json"),
)
"""Half-precision weights; the pretrained backbone in full precision; the rest is text."""


@dataclass(frozen=True)
class Summary:
    """What a finished training was and reached; its file is written last.

    ``command`` trains it again; ``files`` are the names of the user's own training images.
    ``selected`` holds the epoch kept of each phase. The accuracies, in [0, 1], are those on
    validation images of the network in ``weights.safetensors``. ``pretrained_from`` names the run
    whose backbone was reused, or is "".
    """

    model: str
    seed: int
    recipe: dict[str, Any]
    selected: dict[str, int]
    n_train: int
    n_validation: int
    data_sha256: str
    clean_acc: float
    robust_acc: float
    seconds: float
    device: str
    processes: int
    precision: str
    threads: int
    weights_sha256: str
    versions: dict[str, str]
    commit: str
    created: str
    pretrained_from: str = ""
    command: str = ""
    files: list[str] = field(default_factory=list)


def read_summary(folder: Path) -> Summary | None:
    """Return the summary of the finished training in ``folder``, or None where there is none.

    Raises:
        RecordError: There is one, but it cannot be read.
    """
    path = folder / SUMMARY
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return Summary(**table)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{path} is damaged ({error}); train again with --restart or into another folder"
        ) from error


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


def write_summary(folder: Path, summary: Summary) -> None:
    """Write the summary, which makes the training a finished one.

    Raises:
        StorageError: The folder cannot be written.
    """
    text = json.dumps(asdict(summary), indent=1)
    write_atomically(folder / SUMMARY, f"{text}\n".encode())


def discard_summary(folder: Path) -> None:
    """Let a training in ``folder`` be no longer finished, before its files are replaced.

    Raises:
        StorageError: The folder cannot be written.
    """
    try:
        (folder / SUMMARY).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot replace the run in {folder}: {error.strerror}; choose another --out"
        ) from error


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
