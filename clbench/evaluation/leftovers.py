"""Files of a results folder that no finished run needs: progress, and what was set aside."""

import re
from pathlib import Path
from typing import NamedTuple

from clbench.schema.errors import RecordError
from clbench.schema.files import ASIDE

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}")
"""What a kill in the middle of a write leaves behind."""


class Leftover(NamedTuple):
    """A file, what it is, and its size in bytes."""

    path: Path
    what: str
    size: int


def leftovers(out: Path) -> list[Leftover]:
    """Return progress of unfinished runs, files that were set aside, and parts of killed writes.

    Raises:
        RecordError: There is no such folder.
    """
    if not out.is_dir():
        raise RecordError(f"there is no folder {out}; give one that clbench eval wrote")
    found = ((path, _what(path, out)) for path in sorted(out.rglob("*")))
    return [Leftover(path, what, path.stat().st_size) for path, what in found if what]


def _what(path: Path, out: Path) -> str:
    """Return what a leftover is, "" where it is none."""
    if not path.is_file():
        return ""
    if ASIDE in path.name:
        return "set aside"
    if _TEMPORARY.fullmatch(path.name):
        return "killed write"
    return "progress" if path.parent == out / "progress" else ""
