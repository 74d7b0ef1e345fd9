"""The table of file formats: whatever command a file is given to, the same reader reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clbench.data.checks import check_scale
from clbench.data.interface import Examples
from clbench.data.readers import folder, npz, parquet
from clbench.schema.errors import DataError


class FileFormat(NamedTuple):
    """A format, known by how its files begin, or by the ending of their names.

    ``read`` is given the path and how many channels are wanted, None for as many as there are.
    """

    suffix: str
    magic: bytes
    layout: str
    read: Callable[[Path, int | None], Examples]


FILE_FORMATS: tuple[FileFormat, ...] = (
    FileFormat(".npz", b"PK", npz.LAYOUT, lambda path, _: npz.read_arrays(path)),
    FileFormat(".parquet", b"PAR1", parquet.LAYOUT, parquet.read_parquet),
)
"""A new format is a reader, and its row here."""

_PICKLE = b"\x80"
"""How pickles begin, in every protocol since the second, and older files of ``torch.save``."""

_FILES = (f"a {one.suffix} file with {one.layout}" for one in FILE_FORMATS)
TAKEN = ", or ".join((*_FILES, f"a folder with {folder.LAYOUT}"))
"""What can be read, in words."""


def read_file(path: Path, n_channels: int | None = None) -> Examples:
    """Return all examples of a file of any known format, or of a folder, in its order.

    Every image is read once, so that what is wrong with one is known before long work. Where they
    take much memory, they are read again when they are asked for.

    Raises:
        DataError: The file is missing, unreadable, of no known format or holds something else than
            images and labels, or images on another scale than their type's.
    """
    if folder.is_one(path):
        found = folder.read_folder(path, n_channels)
    else:
        npz.check_path(path, TAKEN)
        found = _format_of(path).read(path, n_channels)
    check_scale(path.name, found.images)
    return found


def _format_of(path: Path) -> FileFormat:
    try:
        with path.open("rb") as file:
            start = file.read(max(len(one.magic) for one in FILE_FORMATS))
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    for one in FILE_FORMATS:
        if start.startswith(one.magic):
            return one
    for one in FILE_FORMATS:
        if path.suffix.lower() in (one.suffix, ".npy"):  # its reader says what is wrong with it
            return one
    if start.startswith(_PICKLE):
        raise DataError(f"'{path}' {npz.PICKLED}; {npz.WRITE}")
    raise DataError(f"'{path}' is of no known format; --data takes {TAKEN}")
