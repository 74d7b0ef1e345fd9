"""Files that are whole, and their hashes."""

import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from clbench.schema.errors import StorageError

_CHUNK = 1 << 20


def sha256_of(data: bytes) -> str:
    """Return the sha256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that no reader and no crash ever sees half of it.

    Raises:
        StorageError: The folder cannot be made or written, or the disk is full; what was at
            ``path`` before is still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"cannot write {path}: {error.strerror}; free some space or choose another folder "
            "with --out"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, so that whether files can be written there is known before long work.

    Raises:
        StorageError: It cannot be made, or nothing may be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make {folder}: {error.strerror}; choose another folder with --out"
        ) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(
            f"cannot write into {folder}: no permission; choose another folder with --out"
        )
