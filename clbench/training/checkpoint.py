"""Where a training stands, written so that it is whole or not there at all."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.files import write_atomically
from clbench.training.phases import State

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
    rows: list[dict[str, Any]]
    seconds: float


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint over the one before.

    Raises:
        StorageError: The folder cannot be written.
    """
    data = io.BytesIO()
    torch.save(vars(checkpoint), data)
    write_atomically(folder / FILE, data.getvalue())


def read_checkpoint(folder: Path, settings: dict[str, Any]) -> Checkpoint | None:
    """Return where the training in ``folder`` stands, or None where there is none.

    Nothing but tensors and plain values is unpickled.

    Raises:
        RecordError: The checkpoint cannot be read.
        BadValueError: It is of another training; the message names what differs.
    """
    path = folder / FILE
    try:
        found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, RuntimeError, pickle.UnpicklingError, TypeError, EOFError) as error:
        raise RecordError(
            f"{path} is damaged; train again with --restart or into another folder"
        ) from error
    other = [key for key, value in settings.items() if found.settings.get(key) != value]
    if other:
        raise BadValueError(
            f"{folder} holds a training under way with another {' and '.join(other)}; choose "
            "another --out, or replace it with --restart"
        )
    return found


def discard_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished or replaced training, and what kills left of others."""
    for path in (folder / FILE, *folder.glob(f".{FILE}.*")):
        path.unlink(missing_ok=True)
