"""A record once more, class by class, from its evidence."""

from pathlib import Path
from typing import NamedTuple

from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import accuracies
from clbench.leaderboard.other_files import check_is_record
from clbench.schema.errors import RecordError
from clbench.schema.estimate import Estimate
from clbench.schema.record_files import evidence_of, folder_of, read_record
from clbench.schema.records import EvaluationRecord


class OfClass(NamedTuple):
    """What became of the examples of one class, numbered as in the data."""

    label: int
    clean_acc: Estimate
    robust_acc: Estimate


def per_class(evidence: Evidence) -> list[OfClass]:
    """Return clean and robust accuracy of every class that has an example."""
    found = []
    for label in sorted(set(evidence.label.tolist())):
        broken_by = evidence.broken_by[evidence.label == label].tolist()
        attacks = sorted({one for one in broken_by if one not in ("", "clean")})
        clean, robust, *_ = accuracies(attacks, broken_by)
        found.append(OfClass(int(label), clean, robust))
    return found


def read_with_evidence(path: Path) -> tuple[EvaluationRecord, Evidence | None, str]:
    """Return a record, its evidence, and why there is none.

    Raises:
        RecordError: The record cannot be read, or the file is something else.
    """
    check_is_record(path)
    record = read_record(path)
    out = folder_of(path)
    if out is None:
        return record, None, "it lies in no folder called records, which evidence is beside"
    try:
        return record, read_evidence(evidence_of(path.absolute(), out), record.evidence_sha256), ""
    except RecordError as error:
        return record, None, str(error)
