"""What is said about matrices and layer probes, as rows of CSV files."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from clbench.analysis.result import Accuracy, Matrix
from clbench.probes.similarity.matrix import Block
from clbench.probes.similarity.summaries import SUMMARIES, whole_mean
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import Estimate, undefined

Cell = str | int | float

SUMMARY_COLUMNS = ("kind", "rows", "columns", "summary", "value", "low", "high", "n", "reason")

NO_TAPS = "the two sides have no tap in common"

_DIGITS = 6
"""Further digits of a CKA in float32 are rounding."""


def summary_rows(matrices: Sequence[Matrix]) -> list[dict[str, Cell]]:
    """Return every summary of every matrix, with its interval."""
    return [
        {
            "kind": kind,
            "rows": rows,
            "columns": columns,
            "summary": measure.name,
            "value": measure.value,
            "low": measure.low,
            "high": measure.high,
            "n": measure.n,
            "reason": measure.reason,
        }
        for kind, rows, columns, block in matrices
        for measure in summaries(block)
    ]


def summaries(block: Block) -> list[Estimate]:
    """Return what is said about a matrix: one measure for each of ``SUMMARIES``.

    All but the whole mean are about taps in the same place on both sides, and are made from the
    taps that both sides have. What cannot be said is undefined, with the reason.
    """
    return [summarised(block, name) for name in SUMMARIES]


def summarised(block: Block, name: str) -> Estimate:
    """Return the summary of a matrix that is called ``name``, as ``summaries`` does."""
    summary = SUMMARIES[name]
    part = block if summary is whole_mean else shared(block)
    if not part.rows.taps:
        return undefined(name, block.n, NO_TAPS)
    return _measured(part, name, summary)


def shared(block: Block) -> Block:
    """Return the part of a matrix at the taps that both sides have."""
    if block.rows.taps == block.columns.taps:
        return block
    return block.take([tap for tap in block.rows.taps if tap in block.columns.taps])


def accuracy_rows(accuracies: Iterable[Accuracy]) -> list[dict[str, Cell]]:
    """Return the layer probes, one row for each model, tap and score."""
    return [accuracy._asdict() for accuracy in accuracies]


def to_csv(rows: Sequence[Mapping[str, Cell]], columns: Sequence[str]) -> bytes:
    """Return rows as a CSV file; the same rows give the same bytes. NaN is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _shown(cell) for name, cell in row.items()} for row in rows)
    return text.getvalue().encode()


def _shown(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else round(cell, _DIGITS)
    return cell


def _measured(block: Block, name: str, summary: Callable[[np.ndarray], float]) -> Estimate:
    try:
        return block.measure(name, summary)
    except BadValueError as error:  # too few taps for this summary
        return undefined(name, block.n, str(error))
