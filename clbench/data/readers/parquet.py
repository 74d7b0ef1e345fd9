"""Images and labels of the user's own, from a parquet file of encoded images."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import UInt8
from PIL import Image
from pyarrow.parquet import ParquetFile

from clbench.data.interface import Examples
from clbench.data.readers.npz import check_path
from clbench.runtime.archives import check_memory
from clbench.schema.errors import BadValueError, DataError

Picture = UInt8[np.ndarray, "h w c"]

LAYOUT = "images (JPEG or PNG) in a column image or img, integers in a column label"

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")
"""The last is what CIFAR-100 calls its hundred classes."""

_LABEL_MAX = np.iinfo(np.int64).max

_FORMATS = ("JPEG", "PNG")
_MODES = {1: "L", 3: "RGB"}
"""What Pillow calls images with so many channels."""

_GREY = ("1", "L", "LA", "La")
"""What Pillow calls images without colours."""

_ROWS_AT_ONCE = 1024

_DAMAGED = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on a file that is cut off, altered (column names too) or something else."""

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no picture, are cut off, or unpack to a huge one."""


def read_parquet(path: Path, n_channels: int | None = 3) -> Examples:
    """Return all pictures of a file, uint8, in the order of its rows, with their labels.

    A column ``image`` or ``img`` holds JPEG or PNG files, as bytes or as a struct with a field
    ``bytes`` (the layout of Hugging Face's data sets); ``label``, ``labels`` or ``fine_label`` is
    integer. Everything is made colour, or grey where ``n_channels`` is 1, or where that is None and
    no picture has colours; transparency is dropped.

    Raises:
        DataError: The file is missing, unreadable, empty or holds something else, or more than
            memory can hold, or a picture is unreadable, 16-bit grey or of another size than the
            first; the message says which row.
    """
    check_path(path, f"a .parquet file with {LAYOUT}")
    try:
        with path.open("rb") as file, ParquetFile(file) as table:
            return _read(path.name, table, n_channels)
    except BadValueError as error:
        raise DataError(f"'{path}' {error}; give fewer images") from error
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except _DAMAGED as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no parquet file; it must hold {LAYOUT}"
        ) from error


def _read(name: str, table: ParquetFile, n_channels: int | None) -> Examples:
    image, label = _columns(name, table.schema_arrow)
    pictures: list[Picture] = []
    labels: list[int] = []
    for row, (encoded, number) in enumerate(_rows(table, image, label)):
        picture = _decode(f"row {row} of {name}", encoded, n_channels)
        if pictures and picture.shape[:2] != pictures[0].shape[:2]:
            raise DataError(
                f"images of {name} must be of one size, "
                f"got {_size(pictures[0])} in row 0 and {_size(picture)} in row {row}"
            )
        if number is None or number > _LABEL_MAX:
            raise DataError(f"label of row {row} of {name} must be a class number, got {number}")
        if not pictures:
            check_memory(picture.nbytes * table.metadata.num_rows)
        pictures.append(picture)
        labels.append(number)
    if not pictures:
        raise DataError(f"{name} holds no images, got 0 rows")
    channels = max(picture.shape[2] for picture in pictures)
    alike = [np.broadcast_to(one, (*one.shape[:2], channels)) for one in pictures]
    images = torch.from_numpy(np.stack(alike)).permute(0, 3, 1, 2)
    return Examples(images, torch.tensor(labels, dtype=torch.int64))


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


def _decode(where: str, encoded: bytes | None, n_channels: int | None) -> Picture:
    try:
        with Image.open(BytesIO(encoded or b""), formats=_FORMATS) as picture:
            mode, wanted = picture.mode, n_channels or (1 if picture.mode in _GREY else 3)
            pixels = np.asarray(picture.convert(_MODES[wanted]))
    except _UNREADABLE as error:
        raise DataError(f"{where} holds no readable JPEG or PNG; leave the row out") from error
    if mode.startswith("I"):  # Pillow would cut everything above 255
        raise DataError(f"{where} holds grey pixels of 16 bits; save them as 8 bits")
    return pixels.reshape(*pixels.shape[:2], wanted)


def _size(picture: Picture) -> str:
    height, width, _ = picture.shape
    return f"{width}x{height}"
