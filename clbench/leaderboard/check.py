"""What can be checked of records without a network: files, hashes, and all that evidence tells."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clbench.attacks.grammar import COMPONENTS
from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING, accuracies, square_improves
from clbench.leaderboard.external_files import problems_of_external
from clbench.leaderboard.outcomes import outcomes_of
from clbench.leaderboard.table import CSV_NAME, no_records, render
from clbench.schema.attack_spec import attack_hash
from clbench.schema.errors import RecordError
from clbench.schema.flags import SQUARE_IMPROVES, RaisedFlag
from clbench.schema.records import (
    SCHEMA_VERSION,
    EvaluationRecord,
    evidence_of,
    read_record,
    record_files,
    run_paths,
)

_ROUNDING = 1e-9
"""Bounds of intervals may differ by so much between two machines."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    ``problems`` name file, found and expected, one line each; ``unbound`` are records of version
    0.1, which bear no checksum and do not name their evidence; ``not_checked`` are measures and
    flags that do not follow from evidence.
    """

    n_records: int
    problems: tuple[str, ...]
    unbound: tuple[Path, ...]
    not_checked: tuple[str, ...]


def check(out: Path) -> Checked:
    """Check every record under ``out`` against its evidence, and the CSV against the records.

    Raises:
        RecordError: There are no records.
    """
    paths = record_files(out)
    if not paths:
        raise no_records(out)
    problems: list[str] = []
    read: list[tuple[Path, EvaluationRecord]] = []
    for path in paths:
        try:
            record = read_record(path)
        except RecordError as error:
            problems.append(str(error))
            continue
        read.append((path, record))
        problems += problems_of(record, path, out)
    problems += _doubled(read)
    records = [record for _, record in read]
    csv = out / CSV_NAME
    readable = len({record.run.hash for record in records}) == len(paths)
    if readable and (not csv.exists() or csv.read_bytes() != _board(read, out)):
        problems.append(
            f"{csv} is not what the {len(records)} records under {out} give; "
            f"run clbench leaderboard build --out {out}"
        )
    return Checked(
        n_records=len(paths),
        problems=tuple(problems),
        unbound=tuple(path for path, record in read if not record.is_bound),
        not_checked=_not_checked(records),
    )


def _board(read: list[tuple[Path, EvaluationRecord]], out: Path) -> bytes:
    records = dict(read)
    return render(list(records.values()), outcomes_of(records, out))


def problems_of(record: EvaluationRecord, path: Path, out: Path) -> list[str]:
    """Return what is wrong with one record, its name and its evidence, a line each."""
    found = [*_of_record(record, path, out), *problems_of_external(record, path, out)]
    evidence_path = evidence_of(path, out)
    if not record.is_bound and not evidence_path.exists():
        return found  # version 0.1 let records go about alone
    try:
        evidence = read_evidence(evidence_path, record.evidence_sha256)
    except RecordError as error:
        return [*found, str(error)]
    found += _of_evidence(record, evidence, evidence_path)
    return found + [f"record {path}: {line}" for line in _of_verdicts(record, evidence)]


def _of_record(record: EvaluationRecord, path: Path, out: Path) -> Iterator[str]:
    belongs = run_paths(out, record.run).record
    if record.is_bound and path != belongs:
        yield f"record {path} is of another run than its name says, expected {belongs.name}"
    attack = record.attack
    if attack and attack.hash != attack_hash(attack.name, attack.parameters):
        expected = attack_hash(attack.name, attack.parameters)
        yield f"record {path}: attack.hash is {attack.hash}, its parameters give {expected}"


def _of_evidence(record: EvaluationRecord, evidence: Evidence, path: Path) -> Iterator[str]:
    """Yield what is wrong inside of evidence, and between it and its record."""
    if record.is_bound and evidence.identity != record.run.hash:
        yield f"evidence {path} is of run {evidence.identity}, its record of {record.run.hash}"
    if len(evidence) != record.data.n:
        yield f"evidence {path} has {len(evidence)} examples, its record {record.data.n}"
    if len(np.unique(evidence.index)) != len(evidence):
        yield f"evidence {path} has an example twice"
    right = evidence.clean_pred == evidence.label
    fooled = evidence.adv_pred != evidence.label
    by_clean, by_nothing = evidence.broken_by == BY_CLEAN, evidence.broken_by == BY_NOTHING
    wrong = (by_clean == right) | (by_nothing == fooled)
    if wrong.any():
        example = int(evidence.index[wrong][0])
        yield f"evidence {path}: broken_by of example {example} contradicts its predictions"
    names = set(evidence.broken_by.tolist()) - {BY_CLEAN, BY_NOTHING, *record.components}
    if names:
        yield f"evidence {path}: {min(names)!r} is no component of the attack"


def _of_verdicts(record: EvaluationRecord, evidence: Evidence) -> Iterator[str]:
    """Yield what a record says otherwise than its evidence does."""
    broken_by = evidence.broken_by.tolist()
    for expected in accuracies(record.components, broken_by):
        if expected.name == "robust_acc" and record.attack is None:
            continue
        found = record.measure(expected.name)
        if found is None:
            yield f"it lacks {expected.name}, its evidence gives {expected.value:.6g}"
            continue
        if (found.value, found.n) != (expected.value, expected.n):
            yield (
                f"{found.name} is {found.value:.6g} of {found.n}, "
                f"its evidence gives {expected.value:.6g} of {expected.n}"
            )
        pairs = ((found.low, expected.low), (found.high, expected.high))
        if any(not abs(one - other) <= _ROUNDING for one, other in pairs):
            yield f"the interval of {found.name} is not the one that its evidence gives"
    black_box = _black_box(record)
    if black_box is not None:
        yield from _of_square(record, square_improves(record.components, black_box, broken_by))


def _of_square(record: EvaluationRecord, expected: tuple[RaisedFlag, ...]) -> Iterator[str]:
    """Yield where a record says otherwise of Square than its evidence gives.

    In records of older versions the flag has no value, and one image was enough for it.
    """
    found = tuple(flag for flag in record.flags if flag.name == SQUARE_IMPROVES)
    if found == expected or (found and record.schema_version < SCHEMA_VERSION):
        return
    said, gives = (
        "not raised" if not flags else f"{flags[0].value} above {flags[0].threshold}"
        for flags in (found, expected)
    )
    yield f"the flag {SQUARE_IMPROVES} is {said}, its evidence gives {gives}"


def _black_box(record: EvaluationRecord) -> list[bool] | None:
    """Return which components use no gradients; None where one is not known here."""
    if any(name not in COMPONENTS for name in record.components):
        return None
    return [COMPONENTS[name].black_box for name in record.components]


def _doubled(read: list[tuple[Path, EvaluationRecord]]) -> Iterator[str]:
    by_run: dict[str, list[Path]] = defaultdict(list)
    for path, record in read:
        by_run[record.run.hash].append(path)
    for paths in by_run.values():
        if len(paths) > 1:
            yield f"records {' and '.join(map(str, paths))} are of one run; move one of them away"


def _not_checked(records: list[EvaluationRecord]) -> tuple[str, ...]:
    follow = {"clean_acc", "robust_acc"}
    measures = dict.fromkeys(
        measure.name
        for record in records
        for measure in record.measures
        if measure.name not in follow and not measure.name.startswith("acc_after_")
    )
    flags = dict.fromkeys(
        f"flag {name}"
        for record in records
        for name in record.flag_names
        if name != SQUARE_IMPROVES
    )
    return (*measures, *flags)
