"""What a comparison of models gives: its matrices, the layer probes, and what was compared."""

from dataclasses import dataclass
from typing import NamedTuple

from clbench.probes.similarity.matrix import Block
from clbench.schema.records import AttackEntry, DataEntry, ModelEntry, ThreatEntry

SCHEMA_VERSION = 1
"""Of ``probe.json``: raised when a field changes its meaning or goes."""


class Matrix(NamedTuple):
    """A matrix of a kind, and the models that its rows and its columns are of."""

    kind: str
    rows: str
    columns: str
    block: Block


class Accuracy(NamedTuple):
    """How often a linear classifier of the features at a tap is right, with its 95 % interval.

    ``score`` says on which images: a name in ``SCORES``; ``reason`` why the value is NaN.
    """

    model: str
    tap: str
    score: str
    value: float
    low: float
    high: float
    n: int
    reason: str = ""


SCORES = {
    "clean": "clean images",
    "adv": "attack on the network",
    "adaptive": "attack on the probe",
}
"""What a layer probe is scored on."""


@dataclass(frozen=True)
class Description:
    """What was compared, and how: the content of ``probe.json``, in the order of the file.

    ``training`` are the images that layer probes were fitted on, and ``extent`` how much of the
    place their features keep; None and "" without layer probes. ``taps`` are as they were asked
    for, empty for the usual ones; ``common`` is the model that the images common to all were made
    against, "" where there are none; ``wall_s`` is without the figures; ``files`` are what else was
    written, by name, each with its sha256.
    """

    schema_version: int
    protocol: str
    models: tuple[ModelEntry, ...]
    data: DataEntry
    training: DataEntry | None
    extent: str
    threat_model: ThreatEntry
    attack: AttackEntry
    kinds: tuple[str, ...]
    common: str
    taps: tuple[str, ...]
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

    def of_kind(self, kind: str) -> list[Matrix]:
        """Return the matrices of a kind, in order."""
        return [matrix for matrix in self.matrices if matrix.kind == kind]

    def find(self, kind: str, rows: str, columns: str = "") -> Block | None:
        """Return the matrix of a kind for two models, or for one; None where there is none.

        Two models may be named in any order.
        """
        wanted = (rows, columns or rows)
        for matrix in self.of_kind(kind):
            if (matrix.rows, matrix.columns) == wanted:
                return matrix.block
            if (matrix.columns, matrix.rows) == wanted:
                return matrix.block.transposed
        return None
