"""What a comparison of models gives: its matrices, the linear probes, and what was compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.schema.probe_record import ProbeRecord


class Matrix(NamedTuple):
    """A matrix of a kind of comparison, and the models that its rows and its columns are of."""

    comparison: str
    rows: str
    columns: str
    similarity: SimilarityMatrix


class Accuracy(NamedTuple):
    """How often a linear classifier of the features at a layer is right, with its 95 % interval.

    ``score`` says on which images: a name in ``PROBE_SCORES``; ``reason`` why the value is NaN.
    """

    model: str
    layer: str
    score: str
    value: float
    low: float
    high: float
    n: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that one run of ``clbench probe`` found.

    ``folder`` is where its files are, None where nothing was written.
    """

    record: ProbeRecord
    matrices: tuple[Matrix, ...]
    accuracies: tuple[Accuracy, ...] = ()
    folder: Path | None = None

    def of_comparison(self, comparison: str) -> list[Matrix]:
        """Return the matrices of a comparison, in order."""
        return [matrix for matrix in self.matrices if matrix.comparison == comparison]

    def find(self, comparison: str, rows: str, columns: str = "") -> SimilarityMatrix | None:
        """Return the matrix of a comparison for two models, or for one; None where there is none.

        Two models may be named in any order.
        """
        wanted = (rows, columns or rows)
        for matrix in self.of_comparison(comparison):
            if (matrix.rows, matrix.columns) == wanted:
                return matrix.similarity
            if (matrix.columns, matrix.rows) == wanted:
                return matrix.similarity.transposed
        return None
