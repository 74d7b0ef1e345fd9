"""The files of a comparison: written whole, and read back equal.

``matrices.npz`` holds text and numbers, nothing pickled:

- ``matrices`` [m, 5]: comparison, model of the rows, what their images were made against ("" for
  clean images), and the same two of the columns, for every matrix;
- ``NAME/layers`` and ``NAME/reasons``: the layers in the order of execution, and why nothing about
  one is defined, "" where it is;
- ``ROWS x COLUMNS/values``, ``/low``, ``/high`` [r, c], and ``/left_out`` [g, r, c], the values
  without each group of examples, which intervals of anything made from them come from;
- ``ROWS x COLUMNS/any/level``, ``/p_value``, ``/p_adjusted`` [r, c], and the same of ``classes``:
  what chance alone gives where the examples of the columns are in any other order, or in one within
  their classes; ``ROWS x COLUMNS/heaviest`` [r]: which share of the value of two equal layers the
  heaviest 1 % of the examples carry;
- with linear probes, ``accuracies`` [k, 3]: model, layer and score of every accuracy;
  ``accuracies/values`` [k, 3]: value, low, high; ``accuracies/n`` and ``accuracies/reasons`` [k].

``NAME``, ``ROWS`` and ``COLUMNS`` are names of representations such as ``simclr_at clean`` or
``simclr_at adversarial``. A pair of them that serves two comparisons is there once. Files of schema
version 1 have ``NAME/taps`` for ``NAME/layers``, and accuracies in ``probe_accuracy.csv`` only.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from clbench.analysis.comparisons import RepresentationOf
from clbench.analysis.result import Accuracy, Analysis, Matrix
from clbench.analysis.tables import (
    ACCURACY_COLUMNS,
    SIMILARITY_COLUMNS,
    SUMMARY_COLUMNS,
    accuracy_rows,
    similarity_rows,
    summary_rows,
    to_csv,
)
from clbench.probes.similarity.matrix import UNDEFINED, Axis, SimilarityMatrix
from clbench.probes.similarity.measures import MEASURES, find_measure
from clbench.probes.similarity.null import SHUFFLED, Null
from clbench.schema.errors import RecordError, UnknownNameError
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.probe_record import ProbeRecord, read_probe_record, write_probe_record

RECORD = "probe.json"
MATRICES = "matrices.npz"
SUMMARY = "summary.csv"
SIMILARITIES = "similarities.csv"
ACCURACIES = "probe_accuracy.csv"
FIGURES = "figures"
"""The files of a comparison, and the folder of its figures."""

_BOUNDS = ("value", "low", "high")
_OF_NULL = ("level", "p_value", "p_adjusted")


def save(analysis: Analysis, out: Path, figures: Mapping[str, bytes]) -> Analysis:
    """Write a comparison with its figures into a folder, and return it with its files named.

    Every file is the old one or the whole new one; the record comes last, so that it never names a
    file that is not there.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    files = {
        MATRICES: _npz(analysis),
        SUMMARY: to_csv(summary_rows(analysis.matrices), SUMMARY_COLUMNS),
        SIMILARITIES: to_csv(similarity_rows(analysis.matrices), SIMILARITY_COLUMNS),
    }
    if analysis.accuracies:
        files[ACCURACIES] = to_csv(accuracy_rows(analysis.accuracies), ACCURACY_COLUMNS)
    files |= figures
    for name, content in files.items():
        write_atomically(out / name, content)
    hashes = {name: sha256_of(content) for name, content in files.items()}
    record = replace(analysis.record, files=hashes)
    write_probe_record(record, out / RECORD)
    return replace(analysis, record=record, folder=out)


def load(folder: Path) -> Analysis:
    """Read a comparison that ``save`` wrote: what that returned.

    Raises:
        RecordError: A file is missing, damaged or from another run.
    """
    record = read_probe_record(folder / RECORD)
    try:
        find_measure(record.measure)
    except UnknownNameError as error:
        raise RecordError(f"{folder / RECORD} is of an {error}; upgrade clbench") from error
    content = _content(folder, MATRICES, record)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = dict(arrays)
        matrices = tuple(_matrices(found, record))
        accuracies = _accuracies(found) if "accuracies" in found else _from_csv(folder, record)
    except (ValueError, KeyError, BadZipFile) as error:
        raise RecordError(f"{folder / MATRICES} holds no matrices: {error}") from error
    return Analysis(record, matrices, accuracies, folder)


def _content(folder: Path, name: str, record: ProbeRecord) -> bytes:
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    if sha256_of(content) != record.files.get(name):
        raise RecordError(
            f"{path} is not the file that {RECORD} beside it names; "
            f"run clbench probe --out {folder} again"
        )
    return content


def _npz(analysis: Analysis) -> bytes:
    arrays = {"matrices": np.array([_labels(matrix) for matrix in analysis.matrices])}
    for *_, similarity in analysis.matrices:
        for axis in (similarity.rows, similarity.columns):
            arrays[f"{axis.representation}/layers"] = np.array(axis.layers)
            arrays[f"{axis.representation}/reasons"] = np.array(axis.reasons)
        pair = f"{similarity.rows.representation} x {similarity.columns.representation}"
        for name in ("values", "low", "high", "left_out"):
            arrays[f"{pair}/{name}"] = getattr(similarity, name)
        for null in similarity.nulls:
            for name in _OF_NULL:
                arrays[f"{pair}/{null.shuffled}/{name}"] = getattr(null, name)
        if similarity.heaviest is not None:
            arrays[f"{pair}/heaviest"] = similarity.heaviest
    if analysis.accuracies:
        arrays |= _arrays_of(analysis.accuracies)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _labels(matrix: Matrix) -> tuple[str, ...]:
    comparison, rows, columns, similarity = matrix
    return comparison, rows, similarity.rows.against, columns, similarity.columns.against


def _matrices(arrays: Mapping[str, Any], record: ProbeRecord) -> list[Matrix]:
    return [
        Matrix(
            comparison,
            rows,
            columns,
            _similarity(
                arrays,
                record,
                RepresentationOf(rows, rows_by),
                RepresentationOf(columns, columns_by),
            ),
        )
        for comparison, rows, rows_by, columns, columns_by in arrays["matrices"].tolist()
    ]


ANY_RANGE = (-math.inf, math.inf)
"""The range of a measure of a user's own, which a stored comparison does not tell."""


def _similarity(
    arrays: Mapping[str, Any],
    record: ProbeRecord,
    rows: RepresentationOf,
    columns: RepresentationOf,
) -> SimilarityMatrix:
    pair, measure = f"{rows.name} x {columns.name}", MEASURES.get(record.measure)
    return SimilarityMatrix(
        _axis(arrays, rows),
        _axis(arrays, columns),
        arrays[f"{pair}/values"],
        arrays[f"{pair}/left_out"],
        record.data.n,
        record.measure,
        record.estimator,
        value_range=measure.value_range if measure else ANY_RANGE,
        undefined=measure.undefined if measure else UNDEFINED,
        nulls=tuple(_nulls(arrays, pair, record.permutations)),
        heaviest=arrays.get(f"{pair}/heaviest"),
    )


def _nulls(arrays: Mapping[str, Any], pair: str, permutations: int) -> Iterator[Null]:
    for shuffled in SHUFFLED:
        if f"{pair}/{shuffled}/level" in arrays:
            found = {name: arrays[f"{pair}/{shuffled}/{name}"] for name in _OF_NULL}
            yield Null(shuffled, permutations, **found)


def _axis(arrays: Mapping[str, Any], of: RepresentationOf) -> Axis:
    layers = f"{of.name}/layers"
    layers = layers if layers in arrays else f"{of.name}/taps"
    reasons = arrays[f"{of.name}/reasons"].tolist()
    return Axis(of.name, tuple(arrays[layers].tolist()), tuple(reasons), of.against)


def _arrays_of(accuracies: Sequence[Accuracy]) -> dict[str, Any]:
    bounds = [[getattr(one, bound) for bound in _BOUNDS] for one in accuracies]
    return {
        "accuracies": np.array([(one.model, one.layer, one.score) for one in accuracies]),
        "accuracies/values": np.array(bounds, dtype=np.float64),
        "accuracies/n": np.array([one.n for one in accuracies]),
        "accuracies/reasons": np.array([one.reason for one in accuracies]),
    }


def _accuracies(arrays: Mapping[str, Any]) -> tuple[Accuracy, ...]:
    columns = (
        arrays["accuracies"].tolist(),
        arrays["accuracies/values"].tolist(),
        arrays["accuracies/n"].tolist(),
        arrays["accuracies/reasons"].tolist(),
    )
    return tuple(
        Accuracy(model, layer, score, value, low, high, n, reason)
        for (model, layer, score), (value, low, high), n, reason in zip(*columns, strict=True)
    )


def _from_csv(folder: Path, record: ProbeRecord) -> tuple[Accuracy, ...]:
    """Return the accuracies of schema version 1, which have six digits."""
    if ACCURACIES not in record.files:
        return ()
    text = _content(folder, ACCURACIES, record).decode()
    return tuple(
        Accuracy(
            model=row["model"],
            layer=row["tap"],
            score=row["score"],
            value=_number(row["value"]),
            low=_number(row["low"]),
            high=_number(row["high"]),
            n=int(row["n"]),
            reason=row["reason"],
        )
        for row in csv.DictReader(io.StringIO(text))
    )


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
