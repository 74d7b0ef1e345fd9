"""Images and labels of the user's own, from columns of encoded pictures and of numbers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from clbench.data.interface import Examples
from clbench.data.readers.pictures import Pictures
from clbench.runtime.on_disk import Spool
from clbench.schema.errors import DataError

LAYOUT = "images (JPEG or PNG) in a column image or img, integers in a column label"

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")
"""The last is what CIFAR-100 calls its hundred classes."""

_LABEL_MAX = np.iinfo(np.int64).max

DAMAGED = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on a file that is cut off, altered (column names too) or something else."""

_HUGGING_FACE = b"huggingface"
"""Where a schema has what Hugging Face's library says of the columns, as JSON."""


def read_columns(
    name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], n_channels: int | None
) -> Examples:
    """Return the pictures of a table, uint8, in the order of its rows, with their labels.

    They are copied into a temporary file, from which any of them is read without the others: where
    they come from they lie in groups, which only a whole group is had of.

    Args:
        name: What the images are called.
        schema: What columns the table has.
        batches: Its rows, with these columns at least.
        n_channels: How many channels to give, None for as many as there are.

    Raises:
        DataError: A column is missing, or something is in it that is no picture or no label.
        StorageError: There is no room for the copy.
    """
    image, label = image_and_label(name, schema)
    copies, labels = Spool(), []
    for row, (encoded, number) in enumerate(_rows(batches, image, label)):
        if number is None or number > _LABEL_MAX:
            raise DataError(f"label of row {row} of {name} must be a class number, got {number}")
        copies.append(encoded or b"")
        labels.append(number)
    if not labels:
        raise DataError(f"{name} holds no images, got 0 rows")
    pictures = Pictures(name, len(labels), copies.read, "row {}".format, "leave the row out")
    return Examples(pictures.images(n_channels), torch.tensor(labels, dtype=torch.int64))


def image_and_label(name: str, schema: pa.Schema) -> tuple[str, str]:
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


def _rows(batches: Iterable[pa.RecordBatch], image: str, label: str) -> Iterator[tuple[Any, Any]]:
    """Yield the bytes and the label of every row, either of which may be None."""
    for batch in batches:
        encoded = batch.column(image)
        if pa.types.is_struct(encoded.type):
            encoded = pc.struct_field(encoded, "bytes")
        yield from zip(encoded.to_pylist(), batch.column(label).to_pylist(), strict=True)


def names_in(schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of classes that Hugging Face's library wrote; none where it did not."""
    try:
        told = json.loads((schema.metadata or {})[_HUGGING_FACE])["info"]["features"]
        names = next(told[one]["names"] for one in _LABEL_COLUMNS if one in told)
    except (KeyError, TypeError, ValueError, StopIteration):
        return ()
    return tuple(names) if isinstance(names, list) and all(map(_is_text, names)) else ()


def _is_text(value: object) -> bool:
    return isinstance(value, str)
