"""The table of file formats: whatever command a file is given to, the same reader reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clbench.data.checks import check_scale
from clbench.data.interface import Examples
from clbench.data.readers import folder, huggingface, imagenet_folder, npy, npz, parquet
from clbench.schema.errors import DataError


def _no_names(_path: Path) -> tuple[str, ...]:
    return ()


class FileFormat(NamedTuple):
    """A format, known by how its files begin, or by the ending of their names.

    ``read`` is given the path and how many channels are wanted, None for as many as there are.
    ``class_names`` gives what a file calls its classes, in the order of their numbers.
    """

    suffix: str
    magic: bytes
    layout: str
    read: Callable[[Path, int | None], Examples]
    class_names: Callable[[Path], tuple[str, ...]] = _no_names


FILE_FORMATS: tuple[FileFormat, ...] = (
    FileFormat(".npz", b"PK", npz.LAYOUT, lambda path, _: npz.read_arrays(path)),
    FileFormat(".parquet", b"PAR1", parquet.LAYOUT, parquet.read_parquet, parquet.class_names),
    FileFormat(".npy", b"\x93NUMPY", npy.LAYOUT, npy.read_npy),
)
"""A new format is a reader, and its row here."""


class FolderFormat(NamedTuple):
    """What a folder may hold, and how that is known; otherwise as ``FileFormat``.

    ``of_all_scales`` says that its images may be on another scale than their type's, which takes
    reading every one to know.
    """

    is_one: Callable[[Path], bool]
    layout: str
    read: Callable[[Path, int | None], Examples]
    class_names: Callable[[Path], tuple[str, ...]]
    of_all_scales: bool = True


FOLDER_FORMATS: tuple[FolderFormat, ...] = (
    FolderFormat(
        huggingface.is_one, huggingface.LAYOUT, huggingface.read_saved, huggingface.class_names
    ),
    FolderFormat(
        parquet.is_folder_of_them,
        parquet.FOLDER_LAYOUT,
        parquet.read_parquet_folder,
        parquet.class_names,
    ),
    FolderFormat(
        imagenet_folder.is_one,
        imagenet_folder.LAYOUT,
        imagenet_folder.read_pictures_of,
        imagenet_folder.class_names,
        of_all_scales=False,
    ),
    FolderFormat(folder.is_one, folder.LAYOUT, folder.read_folder, folder.class_names),
)
"""The first that knows a folder reads it."""

_PICKLE = b"\x80"
"""How pickles begin, in every protocol since the second, and older files of ``torch.save``."""

_FILES = (f"a {one.suffix} file with {one.layout}" for one in FILE_FORMATS)
_FOLDERS = (f"a folder with {one.layout}" for one in FOLDER_FORMATS)
TAKEN = ", or ".join((*_FILES, *_FOLDERS))
"""What can be read, in words."""


def read_file(path: Path, n_channels: int | None = None) -> Examples:
    """Return all examples of a file of any known format, or of a folder, in its order.

    Every image is read once, so that what is wrong with one is known before long work. Where they
    take much memory, they are read again when they are asked for.

    Raises:
        DataError: The file is missing, unreadable, of no known format or holds something else than
            images and labels, or images on another scale than their type's.
    """
    form = _format_of(path)
    found = form.read(path, n_channels)
    if isinstance(form, FileFormat) or form.of_all_scales:
        check_scale(path.name, found.images)
    return found


def class_names(path: Path) -> tuple[str, ...]:
    """Return what a file or folder calls its classes, in the order of their numbers; or nothing.

    Raises:
        DataError: As ``read_file``.
    """
    return _format_of(path).class_names(path)


def _format_of(path: Path) -> FileFormat | FolderFormat:
    for one in FOLDER_FORMATS if path.is_dir() else ():
        if one.is_one(path):
            return one
    npz.check_path(path, TAKEN)
    return _format_of_file(path)


def _format_of_file(path: Path) -> FileFormat:
    try:
        with path.open("rb") as file:
            start = file.read(max(len(one.magic) for one in FILE_FORMATS))
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    for one in FILE_FORMATS:
        if start.startswith(one.magic):
            return one
    for one in FILE_FORMATS:
        if path.suffix.lower() == one.suffix:  # its reader says what is wrong with it
            return one
    if start.startswith(_PICKLE):
        raise DataError(f"'{path}' {npz.PICKLED}; {npz.WRITE}")
    raise DataError(f"'{path}' is of no known format; --data takes {TAKEN}")
