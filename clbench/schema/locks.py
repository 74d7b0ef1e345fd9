"""Files that say somebody is at work, for as long as the process lives, however it ends."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0)
"""Some network disks lock only what is open for writing."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file during the block; the system lets go of it when the process dies.

    It must be a file of this process alone, which is removed at the end. Where files cannot be
    locked, as on some network disks, it is only there, and counts as held.
    """
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT)
    except OSError:  # whoever writes results there will say why not
        yield
        return
    try:
        with suppress(OSError):
            _lock(descriptor)
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()


def is_held(path: Path) -> bool:
    """Return whether a process that lives holds a lock file; where nobody can tell, it does."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        return error.errno != errno.ENOENT
    try:
        _lock(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
