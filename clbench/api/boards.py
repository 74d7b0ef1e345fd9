"""Records, and the leaderboards that are made of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, as_path, path_or_none

if TYPE_CHECKING:
    from clbench.data.load import Data
    from clbench.leaderboard.export.write import Exported
    from clbench.models.load import Model
    from clbench.schema.records import EvaluationRecord


def read_records(out: AnyPath = "results") -> "list[EvaluationRecord]":
    """Return every record under a folder, in the order of their paths.

    Raises:
        RecordError: One of them cannot be read, or two hold one run.
    """
    from clbench.schema.record_files import read_records

    return read_records(as_path("out", out))


def build_leaderboard(out: AnyPath = "results") -> Path:
    """Write ``leaderboard.csv`` from the records under a folder, and return its path.

    Raises:
        RecordError: There are no records, or one cannot be read; the CSV stays as it was.
        StorageError: The folder cannot be written.
    """
    from clbench.leaderboard.table import build

    return build(as_path("out", out))


def export_leaderboard(
    to: AnyPath, *, form: str, out: AnyPath = "results", about: AnyPath | None = None
) -> "Exported":
    """Write the records under a folder as the files of another leaderboard.

    Args:
        to: The folder to write; what is there already is never overwritten by something else.
        form: robustbench, every-eval-ever or hf-model-index.
        out: The folder that holds the records.
        about: A TOML file with what records do not know: papers, authors, additional data.

    Raises:
        ClbenchError: There are no records, none has a place there, or nothing can be written.
    """
    from clbench.leaderboard.export.write import export

    return export(
        as_path("to", to), form=form, out=as_path("out", out), about=path_or_none("about", about)
    )


def add_external(
    record: AnyPath,
    *,
    source: str,
    robust_acc: float | str | None = None,
    certificate: AnyPath | None = None,
    model: "Model | None" = None,
    weights: AnyPath | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
) -> "EvaluationRecord":
    """Add to a record a lower robust accuracy that somebody else's attack found, and rank by it.

    What the record measured stays as it is.

    Args:
        record: Its file.
        source: Whose attack it was: a paper, an address, a name.
        robust_acc: The share of images that stay robust, below the record's own; with a
            certificate, what that shows.
        certificate: A .npz file with ``index`` [m], places in the data set, and ``adversarial``
            [m, c, h, w], floats in [0, 1]: each is asked whether it is in the ball and broken.
        model: The network, as for ``evaluate``, where the record's own name does not lead to it.
        weights: A file of its weights, likewise.
        data: The images, likewise.
        data_dir: The folder with the public archives of a data set.

    Raises:
        ClbenchError: The accuracy is not lower, or the certificate does not show it; the record
            stays as it was.
    """
    from clbench.leaderboard.external import add_external
    from clbench.verification.request import Given

    return add_external(
        as_path("record", record),
        source=source,
        robust_acc=robust_acc,
        certificate=path_or_none("certificate", certificate),
        given=Given(
            model, path_or_none("weights", weights), data, path_or_none("data_dir", data_dir)
        ),
    )
