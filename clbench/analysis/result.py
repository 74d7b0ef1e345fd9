"""What a comparison of models gives: its matrices, the linear probes, and what was compared."""

from dataclasses import dataclass
from typing import NamedTuple

from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.schema.records import AttackEntry, DataEntry, ModelEntry, ThreatEntry

SCHEMA_VERSION = 2
"""Of ``probe.json``: raised when a field changes its meaning or goes."""


class Matrix(NamedTuple):
    """A matrix of a kind of comparison, and the models that its rows and its columns are of."""

    comparison: str
    rows: str
    columns: str
    similarity: SimilarityMatrix


class Accuracy(NamedTuple):
    """How often a linear classifier of the features at a layer is right, with its 95 % interval.

    ``score`` says on which images: a name in ``SCORES``; ``reason`` why the value is NaN.
    """

    model: str
    layer: str
    score: str
    value: float
    low: float
    high: float
    n: int
    reason: str = ""


@dataclass(frozen=True)
class Description:
    """What was compared, and how: the content of ``probe.json``, in the order of the file.

    ``training`` are the images that linear probes were fitted on, and ``pooling`` how much of the
    place their features keep; None and "" without linear probes. ``layers`` are as they were asked
    for, empty for the usual ones; ``common`` is the model that the images common to all were made
    against, "" where there are none; ``wall_s`` is without the figures; ``files`` are what else was
    written, by name, each with its sha256.
    """

    schema_version: int
    protocol: str
    models: tuple[ModelEntry, ...]
    data: DataEntry
    training: DataEntry | None
    pooling: str
    threat_model: ThreatEntry
    attack: AttackEntry
    comparisons: tuple[str, ...]
    common: str
    layers: tuple[str, ...]
    measure: str
    estimator: str
    seed: int
    device: str
    wall_s: float
    versions: dict[str, str]
    commit: str
    created: str
    files: dict[str, str]


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that one run of ``clbench probe`` found."""

    description: Description
    matrices: tuple[Matrix, ...]
    accuracies: tuple[Accuracy, ...] = ()

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
