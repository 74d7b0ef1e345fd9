"""AutoAttack's saved progress: the classic's file, written so that it can be read again."""

import ast
import contextlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from clbench.schema.errors import RecordError, StorageError

_TIMEOUT = 60
"""What the classic's files hold as the least number of seconds between two writes."""


class EvaluationState:
    """Which attacks of a run are done, and which images no attack has broken so far.

    Stands for ``autoattack.state.EvaluationState``. Every change is on disk at once where there is
    a ``path``; the file is replaced whole, so that a kill leaves the last one readable.
    """

    def __init__(self, attacks_to_run: Iterable[str], path: Path | None = None) -> None:
        self.attacks_to_run = frozenset(attacks_to_run)
        self.path = path
        self.run_attacks: list[str] = []
        self.still_robust: Bool[Tensor, " n"] | None = None
        self.clean_accuracy = math.nan

    @property
    def robust_flags(self) -> Float64[Tensor, " n"] | None:
        """1 where an image is robust so far, else 0; numbers, so that one may take their mean."""
        return None if self.still_robust is None else self.still_robust.double()

    @property
    def robust_accuracy(self) -> float:
        """Share of all images that are robust so far; NaN before the clean ones were seen."""
        return math.nan if self.still_robust is None else self.still_robust.double().mean().item()

    def start(self, correct: Bool[Tensor, " n"]) -> None:
        """Note which clean images are classified correctly."""
        self.still_robust = correct
        self.clean_accuracy = self.robust_accuracy
        self.to_disk()

    def add_run_attack(self, attack: str) -> None:
        """Note that ``attack`` has seen every image it had to."""
        self.run_attacks.append(attack)
        self.to_disk()

    def to_disk(self) -> None:
        """Write the state where it has a path.

        Raises:
            StorageError: The file cannot be written.
        """
        if self.path is None:
            return
        flags: Sequence[bool] | None = (
            None if self.still_robust is None else self.still_robust.tolist()
        )
        fields = {
            "_attacks_to_run": sorted(self.attacks_to_run),
            "path": str(self.path),
            "_run_attacks": self.run_attacks,
            "_robust_flags": flags,
            "_last_saved": datetime.now().isoformat(sep=" "),
            "_SAVE_TIMEOUT": _TIMEOUT,
            "_clean_accuracy": self.clean_accuracy,
        }
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(fields), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StorageError(
                f"cannot write {self.path}: {error.strerror}; choose another state_path"
            ) from error

    @classmethod
    def from_disk(cls, path: Path | str) -> "EvaluationState":
        """Return the state that a file holds, one of the classic's own included.

        Raises:
            RecordError: The file is missing, cut off, or no such state.
        """
        path = Path(path)
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            state = cls(_names(fields["_attacks_to_run"]), path)
            state.run_attacks = list(fields["_run_attacks"])
            flags = fields["_robust_flags"]
            state.still_robust = None if flags is None else torch.tensor(flags, dtype=torch.bool)
            state.clean_accuracy = float(fields["_clean_accuracy"])
        except OSError as error:
            raise RecordError(f"state {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, SyntaxError) as error:
            raise RecordError(
                f"state {path} is cut off or none of AutoAttack's; move it away to start again"
            ) from error
        return state


def _names(field: list[str] | str) -> list[str]:
    """Return the attacks of a run; the classic writes them as the text of a set."""
    return list(ast.literal_eval(field)) if isinstance(field, str) else list(field)
