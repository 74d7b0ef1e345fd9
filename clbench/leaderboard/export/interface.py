"""What an exporter is: records in, files of another leaderboard out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export.about import About
from clbench.schema.records import EvaluationRecord


class Written(NamedTuple):
    """Files by their path below the folder, and a line for each record that has no place there."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()


Exporter = Callable[[Sequence[EvaluationRecord], About, Path], Written]
"""From records, what is known about them, and their folder, whose evidence it may read."""
