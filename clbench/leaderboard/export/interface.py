"""What an exporter is, and what all of them ask of a record."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export.about import About
from clbench.schema.estimate import Estimate
from clbench.schema.records import EvaluationRecord

_PACKAGED = "package"


class Written(NamedTuple):
    """Files by their path below the folder, and a line for each record that has no place there."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()


Exporter = Callable[[Sequence[EvaluationRecord], About, Path], Written]
"""From records, what is known about them, and their folder, whose evidence it may read."""


def is_packaged(record: EvaluationRecord) -> bool:
    """Say whether a record is of a network whose weights clbench brings."""
    return record.model.source == _PACKAGED


def full_name(record: EvaluationRecord) -> str:
    """Return a network's name; of the zoo's own with the data set that it was trained on."""
    model = record.model
    return f"{model.name}.{model.tag}" if is_packaged(record) else model.name


def known(record: EvaluationRecord, name: str) -> Estimate | None:
    """Return a measure of a record; None where it has none, or one that is undefined."""
    found = record.measure(name)
    values = (found.value, found.low, found.high) if found else ()
    return found if values and all(map(math.isfinite, values)) else None
