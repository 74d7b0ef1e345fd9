"""Which examples a network of a record stayed right on, from the evidence that belongs to it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from clbench.evaluation.evidence import read_verdicts
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.schema.errors import RecordError
from clbench.schema.record_files import evidence_of
from clbench.schema.records import EvaluationRecord


class Outcomes(NamedTuple):
    """Places of the examples in their data set, in order, and whether each stayed robust."""

    examples: Int[np.ndarray, " n"]
    robust: Bool[np.ndarray, " n"]


ByRun = Mapping[str, Outcomes]
"""By the hash of its run, what is known of a record's examples."""

NOT_KNOWN: ByRun = MappingProxyType({})

log = logging.getLogger(__name__)


def read_outcomes(record: EvaluationRecord, path: Path, out: Path) -> Outcomes:
    """Return which examples stayed robust.

    Args:
        record: What was read from ``path``.
        path: Below ``out / "records"``.
        out: The folder of records and evidence.

    Raises:
        RecordError: The evidence is missing or damaged, is not the one that the record names, or
            gives another robust accuracy than the record's.
    """
    evidence_path = evidence_of(path, out)
    verdicts = read_verdicts(evidence_path, record.evidence_sha256)
    robust = verdicts.broken_by == BY_NOTHING
    claimed, n = record.measure("robust_acc"), record.data.n
    found = robust.sum() / max(len(robust), 1), len(robust)
    if claimed is None or n < 1 or (claimed.value, claimed.n) != found or len(robust) != n:
        raise RecordError(
            f"evidence {evidence_path} gives another robust accuracy than its record; see clbench "
            f"leaderboard check --out {out}"
        )
    order = np.argsort(verdicts.index, kind="stable")
    return Outcomes(verdicts.index[order], robust[order])


def outcomes_of(records: Mapping[Path, EvaluationRecord], out: Path) -> ByRun:
    """Return what is known of the examples of every record under ``out`` that has evidence."""
    return _read(records, out)[0]


def outcomes_or_say(records: Mapping[Path, EvaluationRecord], out: Path) -> ByRun:
    """Return the same, and say in one line of the log where evidence is not what it should be."""
    found, problems = _read(records, out)
    if problems:
        log.warning(
            "%s of %s records are compared without their examples, so their rank bands are wider: "
            "%s",
            len(problems),
            len(records),
            problems[0],
        )
    return found


def _read(
    records: Mapping[Path, EvaluationRecord], out: Path
) -> tuple[dict[str, Outcomes], list[str]]:
    """Return outcomes, and why there are none, of records that have a robust accuracy.

    Records of version 0.1 may go about alone, and nothing is said of them.
    """
    found: dict[str, Outcomes] = {}
    problems = []
    for path, record in records.items():
        if record.measure("robust_acc") is None:
            continue
        try:
            found[record.run.hash] = read_outcomes(record, path, out)
        except RecordError as error:
            if record.is_bound or evidence_of(path, out).exists():
                problems.append(str(error))
    return found, problems
