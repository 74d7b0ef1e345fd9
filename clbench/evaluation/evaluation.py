"""A finished evaluation."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, from_numpy

from clbench.evaluation.evidence import Evidence
from clbench.schema.record_files import RunPaths
from clbench.schema.records import EvaluationRecord
from clbench.schema.shard import Shard


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A finished evaluation: its record, and what happened to every example.

    ``paths`` are its files, None where nothing was written; ``reused`` says that it was finished
    before. Of a ``shard``, record and examples are of its images alone, and only its progress is
    written.
    """

    record: EvaluationRecord
    examples: Evidence = field(repr=False)
    paths: RunPaths | None = None
    reused: bool = False
    shard: Shard | None = None

    @property
    def adversarial(self) -> Float[Tensor, "n c h w"] | None:
        """The image that broke each example, else the clean one; None where they were not kept."""
        found = self.examples.adversarial
        return None if found is None else from_numpy(found)
