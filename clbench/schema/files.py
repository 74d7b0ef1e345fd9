"""Files that are whole, and their hashes."""

import contextlib
import errno
import hashlib
import os
import re
import uuid
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from itertools import count
from pathlib import Path
from stat import S_ISREG
from tokenize import TokenError
from zipfile import BadZipFile

from clbench.schema.errors import BadValueError, StorageError

_CHUNK = 1 << 20
_SEAL = b"clbench sha256 "

_LONGEST_NAME = 100
"""Of a model or of data; a disk takes 255 characters."""

ASIDE = ".aside-"
"""In the name of a file that was set aside, before a number."""


DAMAGED_NPZ = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, RuntimeError),
    *(BadZipFile, zlib.error, TokenError),
)
"""What numpy and zipfile raise on a file that is cut off, altered, encrypted or something else."""


def safe_name(name: str) -> str:
    """Return a name as a part of a file's: no folder, nothing hidden, and not too long for a disk.

    >>> safe_name("runs/net.py:make")
    'runs_net.py_make'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST_NAME].strip(".") or "_"


def check_regular(path: Path) -> None:
    """Check that a file of others has an end: a pipe, a device or a socket may have none.

    Raises:
        OSError: It is not a regular file, or there is none.
    """
    if not S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a file of others, which has at most so many bytes.

    Raises:
        OSError: It cannot be read, is not a regular file, or is larger.
    """
    check_regular(path)
    if path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    return path.read_bytes()


def holds(path: Path, data: bytes | None) -> bool:
    """Say whether a path is that of a file with exactly this content; nothing holds None."""
    if data is None or not path.is_file() or path.stat().st_size != len(data):
        return False
    return path.read_bytes() == data


def sha256_of(data: bytes) -> str:
    """Return the sha256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal, read in pieces.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    check_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def seal(data: bytes) -> bytes:
    """Return ``data`` before a line with its sha256, by which ``unseal`` finds any change.

    It finds what a disk or a copy does, and not what somebody does on purpose. Archives can be read
    with the line behind them.

    >>> unseal(seal(b"0.25"))
    b'0.25'
    """
    return b"%s\n%s%s" % (data, _SEAL, sha256_of(data).encode())


def unseal(sealed: bytes) -> bytes:
    """Return the data that ``seal`` was given, whole.

    Raises:
        BadValueError: Something of it was cut off or changed since, or it was never sealed.
    """
    data, _, line = sealed.rpartition(b"\n")
    if not line.startswith(_SEAL):
        raise BadValueError("its last line holds no checksum")
    if sealed != seal(data):
        raise BadValueError("its content is not what its checksum was made of")
    return data


def write_atomically(path: Path, data: bytes | Callable[[BufferedIOBase], None]) -> None:
    """Write ``data``, or what it writes, to ``path``; no reader and no crash sees half of it.

    Raises:
        StorageError: The folder cannot be made or written, or the disk is full; what was at
            ``path`` before is still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data(file)
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


def set_aside(path: Path) -> Path:
    """Rename a file that is not what it should be, so that nothing of it is lost; return its name.

    Raises:
        StorageError: It cannot be renamed.
    """
    names = (path.with_name(f"{path.name}{ASIDE}{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    try:
        path.rename(aside)
    except OSError as error:
        raise StorageError(
            f"cannot set {path} aside: {error.strerror}; choose another folder with --out"
        ) from error
    return aside


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
