"""What lies in files, and is read and written piece by piece: it takes no memory."""

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clbench.schema.errors import StorageError

Dtype = np.dtype[Any]
Rows = np.ndarray[Any, np.dtype[Any]]


class RowFile:
    """Rows of one shape and type, one after the other in an open file, from ``offset`` on.

    They are read and written, not mapped: pages of a mapped file count as memory of the process
    once they were touched. The file is closed with the object.
    """

    def __init__(
        self, file: BinaryIO, row: Sequence[int], dtype: str | Dtype, *, offset: int = 0
    ) -> None:
        self._file, self._row = file, tuple(row)
        self._dtype, self._offset = np.dtype(dtype), offset
        self._size = int(np.prod(self._row, dtype=np.int64)) * self._dtype.itemsize
        weakref.finalize(self, file.close)

    @classmethod
    def temporary(
        cls, row: Sequence[int], dtype: str | Dtype, folder: Path | None = None
    ) -> "RowFile":
        """Return one in a file without a name, which goes with it, however the process ends.

        Raises:
            StorageError: The file cannot be made.
        """
        return cls(temporary_file(folder), row, dtype)

    @classmethod
    def at(cls, path: Path, row: Sequence[int], dtype: str | Dtype) -> "RowFile":
        """Return the one in the file at ``path``, which is made where there is none.

        Raises:
            StorageError: It cannot be made or opened.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            return cls(path.open("r+b"), row, dtype)
        except OSError as error:
            raise _storage_error(str(path), error) from error

    def read(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places, in that order.

        Raises:
            StorageError: The file has no such row any more.
        """
        found = np.empty((len(places), *self._row), self._dtype)
        for number, place in enumerate(places):
            self._file.seek(self._offset + place * self._size)
            bytes_of = memoryview(found[number].reshape(-1)).cast("B")
            if self._size and self._file.readinto(bytes_of) != self._size:  # type: ignore[attr-defined]
                raise StorageError(
                    f"{self._file.name} was cut off after it was opened; run the command again"
                )
        return found

    def write(self, places: Sequence[int], rows: Rows) -> None:
        """Write rows to these places.

        Raises:
            StorageError: The disk is full.
        """
        try:
            for place, row in zip(places, rows, strict=True):
                self._file.seek(self._offset + place * self._size)
                self._file.write(np.ascontiguousarray(row, self._dtype).tobytes())
        except OSError as error:
            raise _storage_error(str(self._file.name), error) from error

    def reserve(self, n: int) -> None:
        """Make the file long enough for so many rows: 0 where nothing is written, and no room."""
        end = self._offset + n * self._size
        if os.fstat(self._file.fileno()).st_size < end:
            self._file.truncate(end)

    def sync(self) -> None:
        """Return when what was written is on the disk.

        Raises:
            StorageError: The disk is full.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _storage_error(str(self._file.name), error) from error

    def mapped(self, n: int) -> Rows:
        """Return the first rows as one array, whose memory is the file; all must be there."""
        self._file.flush()
        return np.memmap(self._file, self._dtype, "r+", offset=self._offset, shape=(n, *self._row))


class Spool:
    """Pieces of bytes in a temporary file without a name, which goes with the object.

    Raises:
        StorageError: The file cannot be made, or the disk is full.
    """

    def __init__(self) -> None:
        self._file, self._edges = temporary_file(), [0]
        weakref.finalize(self, self._file.close)

    def append(self, piece: bytes) -> None:
        """Add a piece behind the others."""
        try:
            self._file.write(piece)
        except OSError as error:
            raise _storage_error(f"into {tempfile.gettempdir()}", error) from error
        self._edges.append(self._edges[-1] + len(piece))

    def read(self, number: int) -> bytes:
        """Return the piece of that number."""
        start, stop = self._edges[number : number + 2]
        self._file.seek(start)
        return self._file.read(stop - start)


def temporary_file(folder: Path | None = None) -> BinaryIO:
    """Return an empty file without a name, in ``folder`` or where the system has temporary ones.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _storage_error(f"into {folder or tempfile.gettempdir()}", error) from error


def _storage_error(what: str, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {what}: {error.strerror}; free some space, or choose another folder with "
        "--out"
    )
