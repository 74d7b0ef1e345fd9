"""Records written for another leaderboard: ``clbench leaderboard export``."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export import every_eval_ever, hf_model_index, robustbench
from clbench.leaderboard.export.about import read_about
from clbench.leaderboard.export.interface import Exporter
from clbench.leaderboard.table import read_ranked
from clbench.schema.errors import RecordError, StorageError
from clbench.schema.files import holds, write_atomically
from clbench.schema.names import look_up

FORMATS: Mapping[str, Exporter] = {
    "robustbench": robustbench.export,
    "every-eval-ever": every_eval_ever.export,
    "hf-model-index": hf_model_index.export,
}
"""By name; a new one is a file beside these, and its row."""


class Exported(NamedTuple):
    """The files that were written, and a line for each record that was left out."""

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]


def export(to: Path, *, form: str, out: Path, about: Path | None = None) -> Exported:
    """Write the records under ``out`` into the folder ``to``, for another leaderboard.

    A file that is there already must be the same: what somebody added to it by hand is not lost.

    Args:
        to: The folder to write.
        form: A name of ``FORMATS``.
        out: The folder that holds the records.
        about: A TOML file with what records do not know of their models.

    Raises:
        UnknownNameError: There is no such format, or ``about`` names another model.
        BadValueError: A field of ``about`` is wrong.
        RecordError: There are no records, one cannot be read, or none has a place there.
        StorageError: The folder cannot be written, or holds another file of that name.
    """
    exporter = look_up(FORMATS, form, "format")
    records, _ = read_ranked(out)
    known = read_about(about, (record.model.name for record in records))
    files, left_out = exporter(records, known, out)
    if not files:
        more = f" (and {len(left_out) - 1} more)" if left_out[1:] else ""
        raise RecordError(f"no record under {out} has a place in {form}: {left_out[0]}{more}")
    paths = {to / name: content for name, content in files.items()}
    write_beside(paths)
    return Exported(tuple(paths), left_out)


def write_beside(paths: Mapping[Path, bytes]) -> None:
    """Write files, none of which replaces another.

    Raises:
        StorageError: One of another content is there, or the folder cannot be written.
    """
    for path, content in paths.items():
        _check_free(path, content)
    for path, content in paths.items():
        write_atomically(path, content)


def _check_free(path: Path, content: bytes) -> None:
    try:
        if not path.exists() or holds(path, content):
            return
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; choose another folder"
        ) from error
    raise StorageError(f"{path} is there and is another; move it away, or choose another folder")
