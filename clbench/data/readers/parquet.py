"""Images and labels of the user's own, from parquet files of encoded pictures."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from clbench.data.interface import Examples
from clbench.data.readers import columns
from clbench.data.readers.columns import DAMAGED, image_and_label, names_in, read_columns
from clbench.data.readers.npz import check_path
from clbench.schema.errors import DataError

LAYOUT = columns.LAYOUT

FOLDER_LAYOUT = "the .parquet files of one split, in it or in its folder data"

_ROWS_AT_ONCE = 64

_BUFFER = 1 << 20
"""Bytes that are read at once, where a group of rows would be otherwise."""

_PART = re.compile(r"(?P<split>.+)-[0-9]{5}-of-(?P<of>[0-9]{5})\.parquet")
"""How Hugging Face's library calls the files of a split."""


def read_parquet(path: Path, n_channels: int | None = 3) -> Examples:
    """Return the pictures of a file, uint8, in the order of its rows, with their labels.

    Of many, they are decoded when they are asked for, every time anew.

    A column ``image`` or ``img`` holds JPEG or PNG files, as bytes or as a struct with a field
    ``bytes`` (the layout of Hugging Face's data sets); ``label``, ``labels`` or ``fine_label`` is
    integer. Everything is made colour, or grey where ``n_channels`` is 1, or where that is None and
    no picture has colours; transparency is dropped.

    Raises:
        DataError: The file is missing, unreadable, empty or holds something else, or a picture is
            unreadable, 16-bit grey or of another size than the first; the message says which row.
            One that is damaged behind its head may be found when it is decoded.
        StorageError: There is no room for a copy of the pictures, as they are, among the system's
            temporary files.
    """
    return _read([path], path.name, n_channels)


def read_parquet_folder(folder: Path, n_channels: int | None = None) -> Examples:
    """Return the pictures of all files of a folder, in the order of their names, as of one file.

    Raises:
        DataError: They are of several splits, one is missing, or as for ``read_parquet``.
        StorageError: As for ``read_parquet``.
    """
    return _read(files_of_split(folder), folder.resolve().name, n_channels)


def class_names(path: Path) -> tuple[str, ...]:
    """Return the names of classes that a file, or the first one of a folder, tells of."""
    first = files_of_split(path)[0] if path.is_dir() else path
    with _opened(first) as table:
        return names_in(table.schema_arrow)


def is_folder_of_them(path: Path) -> bool:
    """Say whether there are such files in a folder, or in its folder ``data``."""
    return path.is_dir() and bool(_files(path))


def files_of_split(folder: Path) -> list[Path]:
    """Return the files of the only split in a folder, in their order.

    Raises:
        DataError: They are of several splits, or one of a split is missing.
    """
    paths = _files(folder)
    named = [_PART.fullmatch(path.name) for path in paths]
    pairs = zip(named, paths, strict=True)
    splits = sorted({one["split"] if one else path.stem for one, path in pairs})
    if len(splits) > 1:
        raise DataError(
            f"'{folder}' must hold {FOLDER_LAYOUT}, got files of {' and '.join(splits[:3])}; give "
            f"one file, such as {paths[0]}, or a folder with those of one split"
        )
    first = named[0]
    if first is not None:
        whole = [
            f"{first['split']}-{k:05d}-of-{first['of']}.parquet" for k in range(int(first["of"]))
        ]
        there = {path.name for path in paths}
        gone = [name for name in whole if name not in there]
        if gone:
            raise DataError(f"'{folder}' lacks {gone[0]}; fetch all files of the split")
    return paths


def _files(folder: Path) -> list[Path]:
    for place in (folder, folder / "data"):
        if found := sorted(path for path in place.glob("*.parquet") if path.is_file()):
            return found
    return []


def _read(paths: Sequence[Path], name: str, n_channels: int | None) -> Examples:
    with _opened(paths[0]) as table:
        schema = table.schema_arrow
    wanted = list(image_and_label(name, schema))
    return read_columns(name, schema, _batches(paths, wanted), n_channels)


def _batches(paths: Sequence[Path], wanted: list[str]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _opened(path) as table:
            image_and_label(path.name, table.schema_arrow)
            yield from table.iter_batches(_ROWS_AT_ONCE, columns=wanted)


@contextmanager
def _opened(path: Path) -> Iterator[ParquetFile]:
    """Open a file during the block.

    Raises:
        DataError: It is missing or unreadable, or was found to be damaged in the block.
    """
    check_path(path, f"a .parquet file with {LAYOUT}")
    try:
        with path.open("rb") as file, ParquetFile(file, buffer_size=_BUFFER) as table:
            yield table
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except DAMAGED as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no parquet file; it must hold {LAYOUT}"
        ) from error
