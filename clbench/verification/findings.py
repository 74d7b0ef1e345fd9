"""What a verification found."""

from dataclasses import dataclass
from pathlib import Path

from clbench.evaluation.evidence import Evidence
from clbench.schema.errors import ClbenchError
from clbench.schema.records import SCHEMA_VERSION, EvaluationRecord
from clbench.schema.text import visible
from clbench.schema.version import __version__

FILES, RESCORED, AUDITED = 1, 2, 3
"""Levels: what follows from files alone, what the network says again, what another attack finds."""


def is_of_this_version(record: EvaluationRecord) -> bool:
    """Say whether this version of clbench is said to have made a record; others differ in names."""
    return record.versions.get("clbench") == __version__


@dataclass(frozen=True)
class Stored:
    """A record and its evidence, where they lie; ``evidence`` is None where it cannot be read."""

    path: Path
    record: EvaluationRecord
    evidence_path: Path
    evidence: Evidence | None

    @property
    def is_of_today(self) -> bool:
        """Whether this version of clbench is said to have made it, in today's form."""
        return is_of_this_version(self.record) and self.record.schema_version == SCHEMA_VERSION


@dataclass(frozen=True)
class Problem:
    """Something that does not hold: the file and its field, what is there, and what should be."""

    level: int
    file: Path
    field: str
    found: str
    expected: str

    @classmethod
    def of_error(cls, level: int, file: Path, error: ClbenchError) -> "Problem":
        """Return what an error says of a file, which the problem names."""
        said = str(error)
        return cls(level, file, "file", said if str(file) in said else f"{file}: {said}", "")

    def __str__(self) -> str:
        if not self.expected:
            return visible(self.found)
        return visible(f"{self.file}: {self.field} is {self.found}, expected {self.expected}")


@dataclass(frozen=True)
class Audit:
    """What an auditor's attack found among examples that a record claims to be robust.

    ``broken`` of ``attacked`` were broken, out of ``robust`` that are claimed; so no more than a
    share ``at_most`` of all claimed ones can be broken by this attack, at 95 %. ``nonce`` and
    ``digest`` chose the examples, whose ``index`` es those broken are.
    """

    file: Path
    attack: str
    nonce: str
    digest: str
    seed: int
    robust: int
    attacked: int
    broken: int
    at_most: float
    index: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.attack} broke {self.broken} of {self.attacked} examples drawn from the "
            f"{self.robust} that are claimed to be robust: it breaks at most "
            f"{100 * self.at_most:.2f} % of them, at 95 %"
        )


@dataclass(frozen=True)
class Verified:
    """What a verification found in ``n_records`` records, at ``level`` s up to this one.

    ``problems`` is empty where all holds. ``remarks`` are what is to be known besides, such as
    evidence without certificates; ``unbound`` are records of version 0.1, which bear no checksum
    and do not name their evidence; ``not_checked`` are measures and flags that this level cannot
    tell. ``audits`` are the statements of level 3.
    """

    n_records: int
    level: int
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    unbound: tuple[Path, ...] = ()
    not_checked: tuple[str, ...] = ()
    audits: tuple[Audit, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing was found that does not hold."""
        return not self.problems
