"""What is said about matrices and linear probes, as rows of CSV files."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from clbench.analysis.result import Accuracy, Matrix
from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.probes.similarity.null import ALPHA, SHUFFLED, Null
from clbench.probes.similarity.summaries import SUMMARIES, whole_mean
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import Estimate, undefined
from clbench.schema.text import no_formula

Cell = str | int | float

SUMMARY_COLUMNS = (
    "kind",
    "rows",
    "columns",
    "summary",
    "value",
    "low",
    "high",
    "n",
    "reason",
)

SIMILARITY_COLUMNS = (
    *("kind", "rows", "columns", "row_layer", "column_layer", "value", "low", "high", "n"),
    *(f"{what}_{shuffled}" for shuffled in SHUFFLED for what in ("chance", "p", "p_adjusted")),
    *("heaviest_1_percent", "reason"),
)
"""One row for each pair of layers. What chance alone passes in one case of twenty where examples
are shuffled (any, or within their classes), how often it reaches the value there, and how often
anywhere in the matrix; and the share of the value that the heaviest 1 % of the examples carry."""

ACCURACY_COLUMNS = ("model", "tap", "score", "value", "low", "high", "n", "reason")
"""Those of ``Accuracy``; a layer is called a tap there, as in older files."""

NO_LAYERS = "the two sides have no layer in common"

_DIGITS = 6
"""Further digits of a CKA in float32 are rounding."""


def summary_rows(matrices: Sequence[Matrix]) -> list[dict[str, Cell]]:
    """Return every summary of every matrix, with its interval."""
    return [
        {
            "kind": comparison,
            "rows": rows,
            "columns": columns,
            "summary": estimate.name,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "n": estimate.n,
            "reason": estimate.reason,
        }
        for comparison, rows, columns, similarity in matrices
        for estimate in summaries(similarity)
    ]


def similarity_rows(matrices: Sequence[Matrix]) -> Iterator[dict[str, Cell]]:
    """Yield every value of every matrix, with its interval and what chance alone gives."""
    for comparison, rows, columns, similarity in matrices:
        found = similarity
        cells = product(enumerate(found.rows.layers), enumerate(found.columns.layers))
        low, high = found.low, found.high
        for (i, row), (j, column) in cells:
            heaviest = found.heaviest[i] if found.heaviest is not None and i == j else math.nan
            yield {
                "kind": comparison,
                "rows": rows,
                "columns": columns,
                "row_layer": row,
                "column_layer": column,
                "value": float(found.values[i, j]),
                "low": float(low[i, j]),
                "high": float(high[i, j]),
                "n": found.n,
                **_of_chance(found.nulls, i, j),
                "heaviest_1_percent": float(heaviest),
                "reason": found.rows.reasons[i] or found.columns.reasons[j],
            }


def _of_chance(nulls: Sequence[Null], i: int, j: int) -> dict[str, Cell]:
    found = dict.fromkeys(SIMILARITY_COLUMNS[9:-2], math.nan)
    for null in nulls:
        found[f"chance_{null.shuffled}"] = float(null.level[i, j])
        found[f"p_{null.shuffled}"] = float(null.p_value[i, j])
        found[f"p_adjusted_{null.shuffled}"] = float(null.p_adjusted[i, j])
    return dict(found)


def like_chance(similarity: SimilarityMatrix, shuffled: str) -> list[str]:
    """Return the layers that both sides have, and at which they are no more alike than by chance.

    What is above chance is so at the level of the whole matrix.
    """
    part = shared(similarity)
    p_values = part.null(shuffled).p_adjusted.diagonal()
    return [layer for layer, p in zip(part.rows.layers, p_values, strict=True) if not p <= ALPHA]


def summaries(similarity: SimilarityMatrix) -> list[Estimate]:
    """Return what is said about a matrix: one estimate for each of ``SUMMARIES``.

    All but the whole mean are about layers in the same place on both sides, and are made from the
    layers that both sides have. What cannot be said is undefined, with the reason.
    """
    return [summarised(similarity, name) for name in SUMMARIES]


def summarised(similarity: SimilarityMatrix, name: str) -> Estimate:
    """Return the summary of a matrix that is called ``name``, as ``summaries`` does."""
    summary = SUMMARIES[name]
    part = similarity if summary is whole_mean else shared(similarity)
    if not part.rows.layers:
        return undefined(name, similarity.n, NO_LAYERS)
    return _measured(part, name, summary)


def shared(similarity: SimilarityMatrix) -> SimilarityMatrix:
    """Return the part of a matrix at the layers that both sides have."""
    if similarity.rows.layers == similarity.columns.layers:
        return similarity
    return similarity.take(
        [layer for layer in similarity.rows.layers if layer in similarity.columns.layers]
    )


def accuracy_rows(accuracies: Iterable[Accuracy]) -> list[dict[str, Cell]]:
    """Return the linear probes, one row for each model, layer and score."""
    return [dict(zip(ACCURACY_COLUMNS, accuracy, strict=True)) for accuracy in accuracies]


def to_csv(rows: Iterable[Mapping[str, Cell]], columns: Sequence[str]) -> bytes:
    """Return rows as a CSV file; the same rows give the same bytes. NaN is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _shown(cell) for name, cell in row.items()} for row in rows)
    return text.getvalue().encode()


def _shown(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else round(cell, _DIGITS)
    return no_formula(cell) if isinstance(cell, str) else cell


def _measured(
    similarity: SimilarityMatrix, name: str, summary: Callable[[np.ndarray], float]
) -> Estimate:
    try:
        return similarity.estimate(name, summary)
    except BadValueError as error:  # too few layers for this summary
        return undefined(name, similarity.n, str(error))
