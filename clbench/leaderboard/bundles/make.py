"""One file of a record and what proves it, to be sent to whoever keeps a leaderboard."""

from pathlib import Path

from clbench.leaderboard.bundles.card import card
from clbench.leaderboard.bundles.layout import (
    CARD,
    EVIDENCE,
    EXTERNAL,
    MOST,
    RECORD,
    SUFFIX,
    WEIGHTS,
    check_url,
    check_weights,
    pack,
)
from clbench.leaderboard.check import placed
from clbench.leaderboard.other_files import check_is_record
from clbench.schema.errors import BadValueError, CommandError, RecordError, StorageError
from clbench.schema.files import holds, sha256_of, write_atomically
from clbench.schema.record_files import certificate_of
from clbench.schema.records import EvaluationRecord
from clbench.verification.files import check_files
from clbench.verification.findings import Stored

_IN_BUNDLE, _NOT_SENT = "in the bundle", "not in the bundle, known by their sha256"


def bundle(record: Path, *, weights: Path | None, weights_url: str, out: Path | None) -> Path:
    """Write the bundle of a record and return its path; the same record gives the same bytes.

    Args:
        record: Its file, in a folder of results.
        weights: Those of its network, of safetensors, to be sent with it.
        weights_url: Where anybody can fetch them; "" says nothing.
        out: Where to write; beside the record's name in the working folder unless given.

    Raises:
        RecordError: It is no record, or files alone tell that it does not hold, or it is of no use
            in a leaderboard.
        WeightsError: The weights are others, or of no safetensors file.
        BadValueError: The address is none, or a file is too large.
        StorageError: There is another file, or it cannot be written.
    """
    if weights_url:
        check_url(weights_url)
    check_is_record(record)
    place = placed(record)
    stored = _sound(*place)
    members = {
        CARD: card(stored.record, where_weights_are(weights is not None, weights_url)).encode(),
        RECORD: stored.path.read_bytes(),
        EVIDENCE: stored.evidence_path.read_bytes(),
    }
    if names_a_certificate(stored.record):
        members[EXTERNAL] = certificate_of(*place).read_bytes()
    if weights is not None:
        members[WEIGHTS] = _weights_of(stored.record, weights)
    for name, data in members.items():
        if len(data) > MOST[name]:
            raise BadValueError(
                f"{name} has {len(data):,} bytes, a bundle holds at most {MOST[name]:,}; "
                "for weights give --weights-url instead, for evidence --evidence sample"
            )
    path = Path(f"{record.stem}{SUFFIX}") if out is None else out
    _write(path, pack(members, weights_url))
    return path


def where_weights_are(in_bundle: bool, url: str) -> str:
    """Return in words where weights are."""
    return " and ".join([_IN_BUNDLE] * in_bundle + [f"at {url}"] * bool(url)) or _NOT_SENT


def names_a_certificate(record: EvaluationRecord) -> bool:
    """Return whether images prove the external accuracy of a record, in a file of their own."""
    return record.external is not None and bool(record.external.certificate_sha256)


def check_is_useful(record: EvaluationRecord, path: Path) -> None:
    """Check that a record can stand in a leaderboard and be verified.

    Raises:
        RecordError: Nothing was attacked, or nothing binds it to its evidence.
    """
    if record.attack is None or record.threat_model is None:
        raise RecordError(
            f"record {path} is of no attack, so that there is nothing to rank; bundle one of "
            "clbench eval"
        )
    if not record.is_bound:
        raise RecordError(
            f"record {path} is of version 0.1 and names no evidence; clbench leaderboard upgrade "
            "binds it"
        )


def _sound(path: Path, folder: Path) -> Stored:
    """Return a record that files alone tell nothing against.

    Raises:
        CommandError: Something does not hold.
        RecordError: It is of no use.
    """
    stored, problems = check_files(path, folder)
    if problems or stored is None:
        raise CommandError([RecordError(str(one)) for one in problems])
    check_is_useful(stored.record, path)
    return stored


def _weights_of(record: EvaluationRecord, path: Path) -> bytes:
    check_weights(path)
    data = path.read_bytes()
    model, found = record.model, sha256_of(data)
    if found not in (model.weights_sha256, model.file_sha256):
        expected = model.file_sha256 or model.weights_sha256
        raise BadValueError(
            f"weights {path} have sha256 {found[:12]}, those of the record {expected[:12]}; give "
            "the file that was evaluated"
        )
    return data


def _write(path: Path, data: bytes) -> None:
    """Write a bundle where there is nothing else.

    Raises:
        StorageError: There is, or it cannot be written.
    """
    if holds(path, data):
        return
    if path.exists() or path.is_symlink():
        raise StorageError(
            f"{path} is there and is something else; move it away or choose another --out"
        )
    write_atomically(path, data)
