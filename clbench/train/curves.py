"""The course of a training as a picture."""

from collections.abc import Sequence
from pathlib import Path
from clbench.train.phases import Epoch


def write_curves(folder: Path, rows: Sequence[Epoch]) -> None:
    """Write the curves."""
