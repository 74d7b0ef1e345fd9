"""The files of a comparison: written whole, and read back.

``matrices.npz`` holds text and numbers, nothing pickled:

- ``matrices`` [m, 5]: comparison, model of the rows, what their images were made against ("" for
  clean images), and the same two of the columns, for every matrix;
- ``NAME/layers`` and ``NAME/reasons``: the layers in the order of execution, and why nothing about
  one is defined, "" where it is;
- ``ROWS x COLUMNS/values``, ``/low``, ``/high`` [r, c], and ``/left_out`` [g, r, c], the values
  without each group of examples, which intervals of anything made from them come from.

``NAME``, ``ROWS`` and ``COLUMNS`` are names such as ``simclr_at clean`` or ``simclr_at
adversarial``. A pair of representations that serves two comparisons is there once.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from clbench.analysis.comparisons import RepresentationOf
from clbench.analysis.result import SCHEMA_VERSION, Accuracy, Analysis, Description, Matrix
from clbench.analysis.tables import SUMMARY_COLUMNS, accuracy_rows, summary_rows, to_csv
from clbench.probes.similarity.matrix import Axis, SimilarityMatrix
from clbench.schema.errors import RecordError
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.records import AttackEntry, DataEntry, ModelEntry, ThreatEntry

DESCRIPTION = "probe.json"
MATRICES = "matrices.npz"
SUMMARY = "summary.csv"
ACCURACIES = "probe_accuracy.csv"


def save(analysis: Analysis, out: Path, figures: Mapping[str, bytes]) -> Analysis:
    """Write a comparison with its figures into a folder, and return it with its files named.

    Every file is the old one or the whole new one; the description comes last, so that it never
    names a file that is not there.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    files = {
        MATRICES: _npz(analysis.matrices),
        SUMMARY: to_csv(summary_rows(analysis.matrices), SUMMARY_COLUMNS),
    }
    if analysis.accuracies:
        files[ACCURACIES] = to_csv(accuracy_rows(analysis.accuracies), Accuracy._fields)
    files |= figures
    for name, content in files.items():
        write_atomically(out / name, content)
    hashes = {name: sha256_of(content) for name, content in files.items()}
    described = replace(analysis.description, files=hashes)
    write_atomically(out / DESCRIPTION, _json(described))
    return replace(analysis, description=described)


def load(folder: Path) -> Analysis:
    """Read the matrices of a comparison that ``save`` wrote, and what they are of.

    Raises:
        RecordError: A file is missing, damaged or from another run.
    """
    description, path = _read_description(folder / DESCRIPTION), folder / MATRICES
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    if sha256_of(content) != description.files.get(MATRICES):
        raise RecordError(
            f"{path} is not the file that {DESCRIPTION} beside it names; "
            f"run clbench probe --out {folder} again"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return Analysis(description, tuple(_matrices(dict(arrays), description)))
    except (ValueError, KeyError, BadZipFile) as error:
        raise RecordError(f"{path} holds no matrices: {error}") from error


def _npz(matrices: tuple[Matrix, ...]) -> bytes:
    arrays = {"matrices": np.array([_labels(matrix) for matrix in matrices])}
    for *_, similarity in matrices:
        for axis in (similarity.rows, similarity.columns):
            arrays[f"{axis.representation}/layers"] = np.array(axis.layers)
            arrays[f"{axis.representation}/reasons"] = np.array(axis.reasons)
        pair = f"{similarity.rows.representation} x {similarity.columns.representation}"
        for name in ("values", "low", "high", "left_out"):
            arrays[f"{pair}/{name}"] = getattr(similarity, name)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _labels(matrix: Matrix) -> tuple[str, ...]:
    comparison, rows, columns, similarity = matrix
    return comparison, rows, similarity.rows.against, columns, similarity.columns.against


def _matrices(arrays: Mapping[str, Any], description: Description) -> list[Matrix]:
    return [
        Matrix(
            comparison,
            rows,
            columns,
            _similarity(
                arrays,
                description,
                RepresentationOf(rows, rows_by),
                RepresentationOf(columns, columns_by),
            ),
        )
        for comparison, rows, rows_by, columns, columns_by in arrays["matrices"].tolist()
    ]


def _similarity(
    arrays: Mapping[str, Any],
    description: Description,
    rows: RepresentationOf,
    columns: RepresentationOf,
) -> SimilarityMatrix:
    pair = f"{rows.name} x {columns.name}"
    return SimilarityMatrix(
        _axis(arrays, rows),
        _axis(arrays, columns),
        arrays[f"{pair}/values"],
        arrays[f"{pair}/left_out"],
        description.data.n,
        description.measure,
        description.estimator,
    )


def _axis(arrays: Mapping[str, Any], representation: RepresentationOf) -> Axis:
    layers, reasons = (
        tuple(arrays[f"{representation.name}/{of}"].tolist()) for of in ("layers", "reasons")
    )
    return Axis(representation.name, layers, reasons, representation.against)


def _json(description: Description) -> bytes:
    return f"{json.dumps(asdict(description), indent=1, allow_nan=False)}\n".encode()


def _read_description(path: Path) -> Description:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read: {error.strerror}; run clbench probe --out {path.parent}"
        ) from error
    except ValueError as error:
        raise RecordError(
            f"{path} is cut off or no JSON; run clbench probe --out {path.parent} again"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version!r}, this clbench reads {SCHEMA_VERSION}; "
            f"run clbench probe --out {path.parent} again"
        )
    try:
        return Description(
            **content
            | {
                "models": tuple(ModelEntry(**model) for model in content["models"]),
                "data": DataEntry(**content["data"]),
                "training": content["training"] and DataEntry(**content["training"]),
                "threat_model": ThreatEntry(**content["threat_model"]),
                "attack": AttackEntry(**content["attack"]),
                "comparisons": tuple(content["comparisons"]),
                "layers": tuple(content["layers"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise RecordError(
            f"{path} is damaged: {error}; run clbench probe --out {path.parent} again"
        ) from error
