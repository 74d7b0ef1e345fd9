"""Zip archives, asked what they claim before any memory is taken for it."""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

from clbench.schema.errors import BadValueError

_HARMLESS = 1 << 30
"""Bytes that any machine has."""

_MOST_UNPACKED = 100
"""Images and weights are hardly ever packed to a hundredth; a thousandth is what deflate can."""


def check_archive(archive: ZipFile, size: int) -> None:
    """Check that no two members of an archive bear one name, and that memory can hold them all.

    Args:
        archive: The archive; nothing of it is unpacked.
        size: How many bytes its file has.

    Raises:
        BadValueError: Otherwise; the message goes on from the archive's name.
    """
    counts = Counter(member.filename for member in archive.infolist())
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise BadValueError(f"holds {twice[0]!r} twice, so that nobody can say which is meant")
    claimed = sum(member.file_size for member in archive.infolist())
    check_memory(claimed)
    if claimed > max(_HARMLESS, _MOST_UNPACKED * size):
        raise BadValueError(
            f"unpacks from {_in_words(size)} to {_in_words(claimed)}, as no images or weights do"
        )


def check_memory(n_bytes: int) -> None:
    """Check that so much memory can be had.

    Raises:
        BadValueError: It cannot; the message goes on from what it is for.
    """
    if n_bytes > most_bytes():
        free = available_memory()
        raise BadValueError(f"claims {_in_words(n_bytes)} of memory, {_in_words(free)} are free")


def most_bytes() -> int:
    """Return how many bytes may be read into memory."""
    return max(available_memory(), _HARMLESS)


def available_memory() -> int:
    """Return how many bytes of memory this process can still take, as far as the system tells."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if _has_sysconf() else []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(found, default=1 << 62)


def _has_sysconf() -> bool:
    return "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {})


def _in_words(n_bytes: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:  # noqa: PLR2004 - the next unit
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000  # type: ignore[assignment] # a figure for a reader
    return f"{n_bytes:,.1f} GB"
