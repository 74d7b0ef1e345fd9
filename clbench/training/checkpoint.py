"""Where a training stands, written so that it is whole or not there at all."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clbench.schema.dataclass_io import from_table, to_table
from clbench.schema.errors import BadValueError, ClbenchError, RecordError
from clbench.schema.files import seal, unseal, write_atomically
from clbench.training.artifacts import REMEDY
from clbench.training.phases import Epoch, State

FILE = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A training after an epoch.

    Attributes:
        settings: What the training must have in common with the one that goes on.
        phase: The phase under way.
        state: Of that phase, see ``PhaseRun.state``.
        selected: The epochs kept of the phases before.
        rows: The log so far.
        seconds: Spent so far.
    """

    settings: dict[str, Any]
    phase: str
    state: State
    selected: dict[str, int]
    rows: tuple[Epoch, ...]
    seconds: float


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint over the one before.

    Raises:
        StorageError: The folder cannot be written.
    """
    data = io.BytesIO()
    torch.save(vars(checkpoint) | {"rows": to_table(checkpoint.rows)}, data)
    write_atomically(folder / FILE, seal(data.getvalue()))


def read_checkpoint(folder: Path, settings: dict[str, Any]) -> Checkpoint | None:
    """Return where the training in ``folder`` stands, or None where there is none.

    Nothing but tensors and plain values is unpickled, and nothing at all of a file that is not
    what was written to it.

    Raises:
        RecordError: The checkpoint cannot be read, or was damaged.
        BadValueError: It is of another training; the message names what differs.
    """
    path = folder / FILE
    try:
        found = _parse(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}; {REMEDY}") from error
    except ClbenchError as error:
        raise RecordError(f"{path} is damaged: {error}; {REMEDY}") from error
    other = [key for key, value in settings.items() if found.settings.get(key) != value]
    if other:
        raise BadValueError(
            f"{folder} holds a training under way with another {' and '.join(other)}; choose "
            "another --out, or replace it with --restart"
        )
    return found


def _parse(sealed: bytes) -> Checkpoint:
    data = io.BytesIO(unseal(sealed))
    try:
        table = torch.load(data, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise BadValueError("it holds more than tensors and plain values") from error
    return from_table(Checkpoint, table, "checkpoint")


def discard_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished or replaced training, and what kills left of others."""
    for path in (folder / FILE, *folder.glob(f".{FILE}.*")):
        path.unlink(missing_ok=True)
