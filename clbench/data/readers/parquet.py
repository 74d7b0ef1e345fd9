"""Images and labels of the user's own, from a parquet file of encoded images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow.parquet import ParquetFile

from clbench.data.interface import Examples
from clbench.data.readers.npz import check_path
from clbench.data.readers.pictures import Pictures
from clbench.runtime.on_disk import Spool
from clbench.schema.errors import DataError

LAYOUT = "images (JPEG or PNG) in a column image or img, integers in a column label"

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")
"""The last is what CIFAR-100 calls its hundred classes."""

_LABEL_MAX = np.iinfo(np.int64).max

_ROWS_AT_ONCE = 64

_BUFFER = 1 << 20
"""Bytes that are read at once, where a group of rows would be otherwise."""

_DAMAGED = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on a file that is cut off, altered (column names too) or something else."""


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
    check_path(path, f"a .parquet file with {LAYOUT}")
    try:
        with path.open("rb") as file, ParquetFile(file, buffer_size=_BUFFER) as table:
            return _read(path.name, table, n_channels)
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except _DAMAGED as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no parquet file; it must hold {LAYOUT}"
        ) from error


def _read(name: str, table: ParquetFile, n_channels: int | None) -> Examples:
    """Copy the pictures into a temporary file, from which any of them is read without the others.

    In the file itself they lie in groups, which only a whole group is had of: often all of them.
    """
    image, label = _columns(name, table.schema_arrow)
    copies, labels = Spool(), []
    for row, (encoded, number) in enumerate(_rows(table, image, label)):
        if number is None or number > _LABEL_MAX:
            raise DataError(f"label of row {row} of {name} must be a class number, got {number}")
        copies.append(encoded or b"")
        labels.append(number)
    if not labels:
        raise DataError(f"{name} holds no images, got 0 rows")
    pictures = Pictures(name, len(labels), copies.read, "row {}".format, "leave the row out")
    return Examples(pictures.images(n_channels), torch.tensor(labels, dtype=torch.int64))


def _columns(name: str, schema: pa.Schema) -> tuple[str, str]:
    """Return the names of the columns with images and labels."""
    image = _column(name, schema.names, _IMAGE_COLUMNS)
    label = _column(name, schema.names, _LABEL_COLUMNS)
    images, labels = schema.field(image).type, schema.field(label).type
    if not (_is_binary(images) or (_is_struct(images) and _is_binary(images.field("bytes").type))):
        raise DataError(
            f"column {image!r} of {name} must be binary, or a struct with a binary field bytes, "
            f"got {images}"
        )
    if not pa.types.is_integer(labels):
        raise DataError(f"column {label!r} of {name} must be integer, got {labels}")
    return image, label


def _column(name: str, found: Sequence[str], wanted: Sequence[str]) -> str:
    for column in wanted:
        if list(found).count(column) == 1:
            return column
    raise DataError(
        f"{name} has no one column {' or '.join(map(repr, wanted))}, "
        f"got {', '.join(found) or 'nothing'}"
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind)) and kind.get_field_index("bytes") >= 0


def _rows(table: ParquetFile, image: str, label: str) -> Iterator[tuple[Any, Any]]:
    """Yield the bytes and the label of every row, either of which may be None."""
    for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[image, label]):
        encoded = batch.column(image)
        if pa.types.is_struct(encoded.type):
            encoded = pc.struct_field(encoded, "bytes")
        yield from zip(encoded.to_pylist(), batch.column(label).to_pylist(), strict=True)
