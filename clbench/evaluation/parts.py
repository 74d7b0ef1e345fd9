"""The files of a run under way: its progress, or that of each of its shards.

Nothing here loads torch.
"""

import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clbench.schema.files import DAMAGED_NPZ
from clbench.schema.shard import Shard

BEGUN = time.time()
"""When this process began; those of one command begin together, parts of earlier ones are older."""

WHOLE = "whole"
"""What the progress of a run that is not cut is called beside that of shards."""

ABOUT = "about"
"""In a file of progress: what it says of itself, as JSON."""

MADE_WITH = "made_with"
LEFT, SHARD, BLACK_BOX, DRAFT = "left", "shard", "black_box", "draft"
"""Of that: versions and device with which it can be gone on, how many of its examples still have to
be attacked, which they are, which components use no gradients, and the run's record before the
first attack, as JSON."""

_IMAGES = ".images"

_NAME = re.compile(r".+~(?P<number>[0-9]+)of(?P<of>[0-9]+)\.npz")


class Part(NamedTuple):
    """The progress of a shard, which stays when it is finished, until all are joined."""

    path: Path
    shard: Shard

    @property
    def left(self) -> int | None:
        """How many of its examples are still to be attacked; None where nobody can tell."""
        try:
            return int(about_of(self.path)[LEFT])
        except DAMAGED_NPZ:
            return None

    @property
    def name(self) -> str:
        """What it is called beside other progress of its run."""
        return _name(self.shard)

    @property
    def progress(self) -> Path:
        """Where the progress of the whole run would be."""
        return self.path.with_name(f"{self.path.stem.rpartition('~')[0]}.npz")


def about_of(path: Path) -> dict[str, Any]:
    """Return what a file says of itself, without reading the rest, or raise one of DAMAGED_NPZ."""
    with np.load(path, allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(str(file[ABOUT]))
    return about


def progress_of(progress: Path, shard: Shard | None) -> Path:
    """Return where the progress of a shard is, beside that of the whole run."""
    if shard is None:
        return progress
    return progress.with_name(f"{progress.stem}~{_name(shard)}.npz")


def images_of(progress: Path) -> Path:
    """Return where the adversarial images of a finished shard are kept until all are joined."""
    return progress.with_name(progress.name + _IMAGES)


def of_images(path: Path) -> Path:
    """Return the progress that a file of images lies beside; other files are their own."""
    return path.with_name(path.name.removesuffix(_IMAGES))


def rows_of(progress: Path) -> Path:
    """Return where the adversarial images are of a run under way, or of any shard of it."""
    mine = part_at(progress)
    return (mine.progress if mine else progress).with_suffix(".images")


def part_at(path: Path) -> Part | None:
    """Return the part that a file is by its name, None where it is none."""
    found = _NAME.fullmatch(path.name)
    return Part(path, Shard(int(found["number"]) - 1, int(found["of"]))) if found else None


def parts_in(folder: Path) -> list[Part]:
    """Return all parts in a folder of progress, run by run, in the order of their numbers."""
    found = [part for path in folder.glob("*.npz") if (part := part_at(path))]
    return sorted(found, key=lambda part: (part.progress.name, part.shard.of, part.shard.number))


def parts_of(progress: Path) -> list[Part]:
    """Return the parts of the run whose own progress would be at ``progress``."""
    return [part for part in parts_in(progress.parent) if part.progress == progress]


def finished_parts(progress: Path, of: int) -> list[Shard]:
    """Return which shards of a run that is cut so are finished."""
    parts = (part for part in parts_of(progress) if part.shard.of == of)
    return [part.shard for part in parts if part.left == 0]


def other_cuts(own: Path) -> dict[str, Path]:
    """Return, by name, what else is there of a run that knows of examples of ``own``."""
    mine = part_at(own)
    whole = mine.progress if mine else own
    parts = (part for part in parts_of(whole) if mine is None or part.shard.of != mine.shard.of)
    found = {part.name: part.path for part in parts}
    return found | ({WHOLE: whole} if mine is not None and whole.is_file() else {})


def name_of(own: Path) -> str:
    """Return what a file of progress is called beside others of its run."""
    mine = part_at(own)
    return mine.name if mine else WHOLE


def _name(shard: Shard) -> str:
    return f"{shard.number + 1}of{shard.of}"
