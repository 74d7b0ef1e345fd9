"""Files of a results folder that no finished run needs: progress, and what was set aside."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clbench.evaluation.parts import of_images, part_at
from clbench.schema.errors import RecordError
from clbench.schema.files import ASIDE, make_folder
from clbench.schema.locks import held, is_held

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}")
"""What a kill in the middle of a write leaves behind."""


_LOCK = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}\.lock")
"""What a run holds beside its progress, one for each process, as long as it is at work."""

_LONGEST_WRITE = 600.0
"""Seconds: what is being written for longer was killed."""

IN_USE = "in use"
"""What files are that a run at work needs, which must stay."""


class Leftover(NamedTuple):
    """A file, what it is, and its size in bytes."""

    path: Path
    what: str
    size: int


def leftovers(out: Path) -> list[Leftover]:
    """Return progress of unfinished runs, shards that are not merged, and what else could go.

    That is files that were set aside, and parts of killed writes. What a run at work needs is
    among them, as ``IN_USE``.

    Raises:
        RecordError: There is no such folder.
    """
    if not out.is_dir():
        raise RecordError(f"there is no folder {out}; give one that clbench eval wrote")
    found = []
    for path in sorted(out.rglob("*")):
        try:
            what = _what(path, out)
            found += [Leftover(path, what, path.stat().st_size)] if what else []
        except FileNotFoundError:  # of a run that ended meanwhile
            continue
    return found


@contextmanager
def at_work(progress: Path) -> Iterator[None]:
    """Keep the progress of a run from being taken for a leftover during the block.

    Raises:
        StorageError: Its folder cannot be made or written.
    """
    make_folder(progress.parent)
    with held(progress.with_name(f".{progress.name}.{uuid.uuid4().hex}.lock")):
        yield


def _what(path: Path, out: Path) -> str:
    """Return what a leftover is, "" where it is none."""
    if not path.is_file():
        return ""
    if ASIDE in path.name:
        return "set aside"
    if _TEMPORARY.fullmatch(path.name):
        age = time.time() - path.stat().st_mtime
        return IN_USE if age < _LONGEST_WRITE else "killed write"
    if _LOCK.fullmatch(path.name):
        return "" if is_held(path) else "killed run"
    return _of_progress(path) if path.parent == out / "progress" else ""


def _of_progress(path: Path) -> str:
    own = of_images(path)
    if any(map(is_held, _locks(own))):
        return IN_USE
    part = part_at(own)
    if part is None:
        return "progress" if own == path else "images of a run"
    if own != path:
        return f"images of shard {part.shard}"
    return f"shard {part.shard}" if part.left == 0 else f"progress of shard {part.shard}"


def _locks(progress: Path) -> list[Path]:
    names = ((_LOCK.fullmatch(path.name), path) for path in progress.parent.iterdir())
    return [path for match, path in names if match and match["name"] == f"{progress.stem}.npz"]
