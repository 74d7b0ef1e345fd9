"""RobustBench's ``model_info``: an entry of its leaderboards is one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.text import shown

Value = str | int | bool | None

_TEXT, _YES_OR_NO, _COUNT, _NONE = str, bool, int, type(None)

FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("link", "name", "authors"), (_TEXT,)),
    "additional_data": (_YES_OR_NO,),
    "number_forward_passes": (_COUNT,),
    **dict.fromkeys(("dataset", "venue", "architecture"), (_TEXT,)),
    "eps": (_TEXT, _NONE),
    "clean_acc": (_TEXT,),
    "reported": (_TEXT, _NONE),
    **dict.fromkeys(("autoattack_acc", "external"), (_TEXT,)),
    **dict.fromkeys(
        ("corruptions_acc", "corruptions_mce", "corruptions_acc_3d", "corruptions_mce_3d"),
        (_TEXT,),
    ),
    "footnote": (_TEXT, _NONE),
    "unreliable": (_YES_OR_NO,),
}
"""What its fields hold, in the order in which most of its files have them."""

REQUIRED = tuple(FIELDS)[:11]
"""What every published file has; the rest depends on the threat model."""

_PERCENT = ("clean_acc", "autoattack_acc", "external", "corruptions_acc", "corruptions_acc_3d")

RANKED_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("Linf", "L2"), ("external", "autoattack_acc")),
    "corruptions": ("corruptions_acc",),
}
"""By threat model, the fields whose first one that is there ranks its entries."""


@dataclass(frozen=True)
class ModelInfo:
    """An entry as its file has it: fields in the file's order, accuracies as text in percent.

    Raises:
        BadValueError: A field is missing, of another type, or no percentage.
    """

    fields: Mapping[str, Value]

    def __post_init__(self) -> None:
        for name in REQUIRED:
            if name not in self.fields:
                raise BadValueError(f"it lacks {name}")
        for name, value in self.fields.items():
            kinds = FIELDS.get(name)
            # a field of a later version stays as it is: True is no number of passes
            if kinds and type(value) not in kinds:
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise BadValueError(f"{name} must be {wanted}, got {shown(value)}")
        for name in _PERCENT:
            if name in self.fields:
                self.share(name)

    def share(self, name: str) -> float:
        """Return a percentage of the file as a share from 0 to 1."""
        text = str(self.fields[name])
        try:
            percent = float(text)
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:  # noqa: PLR2004 - percent
            raise BadValueError(f"{name} must be a percentage, got {shown(text)}")
        return percent / 100

    def to_bytes(self) -> bytes:
        """Return the file: two blanks a level and ASCII alone, as most of the published ones."""
        return f"{json.dumps(dict(self.fields), indent=2)}\n".encode()


def read_model_info(path: Path) -> ModelInfo:
    """Read a file of RobustBench's.

    A field that is there twice has its last value, as RobustBench itself reads it.

    Raises:
        RecordError: It cannot be read, or is none.
    """
    try:
        table: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordError(f"model_info {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"model_info {path} is cut off or no JSON; fetch it again") from error
    if not isinstance(table, dict):
        raise RecordError(f"model_info {path} is none: it must be a table, got {shown(table)}")
    try:
        return ModelInfo(table)
    except BadValueError as error:
        raise RecordError(f"model_info {path} is none: {error}; fetch it again") from error
