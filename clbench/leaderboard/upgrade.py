"""Records of version 0.1, bound to their evidence."""

from dataclasses import replace
from pathlib import Path

from clbench.evaluation.evidence import read_evidence
from clbench.leaderboard.table import build
from clbench.schema.errors import RecordError
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.record_files import (
    evidence_of,
    read_record,
    record_files,
    run_paths,
    write_record,
)
from clbench.schema.records import SCHEMA_VERSION, EvaluationRecord
from clbench.verification.files import check_record

_BACKENDS = {"clbench": "native"}
"""Backends that are called otherwise now."""


def upgrade(out: Path) -> list[Path]:
    """Bind every record of version 0.1 under ``out`` to its evidence, and build the CSV anew.

    What follows from the evidence is recomputed first. The files get the names that say which run
    they are of. Records that are bound stay as they are.

    Returns:
        The new files.

    Raises:
        RecordError: A record cannot be read, or is not what its evidence gives; nothing of it was
            changed.
    """
    old = [(path, read_record(path)) for path in record_files(out)]
    new = [_bind(path, record, out) for path, record in old if not record.is_bound]
    build(out)
    return new


def _bind(path: Path, record: EvaluationRecord, out: Path) -> Path:
    evidence_path = evidence_of(path, out)
    if not evidence_path.exists():
        raise RecordError(
            f"record {path} has no evidence at {evidence_path}; evaluate again with clbench eval"
        )
    _, problems = check_record(record, path, out)
    if problems:
        raise RecordError(f"{problems[0]}; move the record away and evaluate again")
    attack = record.attack
    if attack:
        attack = replace(attack, backend=_BACKENDS.get(attack.backend, attack.backend))
    bound = replace(record, schema_version=SCHEMA_VERSION, attack=attack)
    paths = run_paths(out, bound.run)
    evidence = replace(read_evidence(evidence_path, ""), identity=bound.run.hash).to_bytes()
    write_atomically(paths.evidence, evidence)
    write_record(replace(bound, evidence_sha256=sha256_of(evidence)), paths.record)
    for left in {path, evidence_path} - set(paths):
        left.unlink()
    return paths.record
