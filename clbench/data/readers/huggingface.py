"""Images and labels of the user's own, from a folder that Hugging Face's ``save_to_disk`` wrote."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from clbench.data.interface import Examples
from clbench.data.readers import columns
from clbench.data.readers.columns import DAMAGED, image_and_label, names_in, read_columns
from clbench.schema.errors import DataError

LAYOUT = f"a data set that Hugging Face's save_to_disk wrote, with {columns.LAYOUT}"

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_one(path: Path) -> bool:
    """Say whether a folder is a data set of theirs, or holds several splits of one."""
    return any((path / name).is_file() for name in (_STATE, _SPLITS))


def read_saved(folder: Path, n_channels: int | None = None) -> Examples:
    """Return the pictures of a folder, uint8, in its order, with their labels.

    Raises:
        DataError: It holds several splits, a file is missing or damaged, or as for
            ``read_columns``.
        StorageError: As for ``read_columns``.
    """
    paths = _files(folder)
    with _opened(paths[0]) as stream:
        schema = stream.schema
    name = folder.resolve().name
    return read_columns(name, schema, _batches(paths, image_and_label(name, schema)), n_channels)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of classes that the data set tells of, in the order of their numbers."""
    with _opened(_files(folder)[0]) as stream:
        return names_in(stream.schema)


def _files(folder: Path) -> list[Path]:
    """Return the files that hold the rows, in their order."""
    if not (folder / _STATE).is_file():
        splits = [str(one) for one in _json(folder / _SPLITS).get("splits", [])]
        raise DataError(
            f"'{folder}' holds the splits {', '.join(splits)}; give the folder of one, such as "
            f"{folder / (splits or ['test'])[0]}"
        )
    told = _json(folder / _STATE)
    if told.get("_indices_data_files"):
        raise DataError(
            f"'{folder}' says which rows of another data set it has; write it with "
            "flatten_indices() before save_to_disk"
        )
    names = [
        str(one.get("filename")) for one in told.get("_data_files", []) if isinstance(one, dict)
    ]
    if not names or any(Path(one).name != one for one in names):
        raise DataError(f"'{folder / _STATE}' must name files beside it, got {names}")
    return [folder / one for one in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{path}' is no readable JSON; save the data set again") from error
    if not isinstance(found, dict):
        raise DataError(f"'{path}' must be a table, got {type(found).__name__}")
    return found


def _batches(paths: Sequence[Path], wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _opened(path) as stream:
            image_and_label(path.name, stream.schema)
            for batch in stream:
                yield batch.select(list(wanted))


@contextmanager
def _opened(path: Path) -> Iterator[pa.RecordBatchReader]:
    """Open a file of rows during the block; its content is mapped, not read.

    Raises:
        DataError: It is missing or unreadable, or was found to be damaged in the block.
    """
    if not path.is_file():
        raise DataError(f"'{path}' does not exist, which {_STATE} beside it names")
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            yield stream
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except DAMAGED as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no file of a data set; save it again"
        ) from error
