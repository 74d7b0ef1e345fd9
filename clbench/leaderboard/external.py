"""Lower robust accuracies that others found: ``clbench leaderboard external``."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from clbench.evaluation.evidence import read_evidence
from clbench.leaderboard.other_files import check_is_record
from clbench.leaderboard.table import build
from clbench.runtime.devices import find_device
from clbench.schema.errors import BadValueError, DataError, RecordError, WeightsError
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.numbers import share
from clbench.schema.record_files import certificate_of, evidence_of, read_record, write_record
from clbench.schema.records import EvaluationRecord, External
from clbench.verification.ask import find_images, find_model, of_content, of_weights
from clbench.verification.external_again import check_certificate
from clbench.verification.external_images import Certificate, read_certificate, robust_beside
from clbench.verification.findings import Stored
from clbench.verification.request import Given

_ROUNDED = 1e-4
"""What a share written with four digits, as the field does, may differ from the count."""


def add_external(
    path: Path,
    *,
    source: str,
    robust_acc: float | str | None,
    certificate: Path | None,
    given: Given,
) -> EvaluationRecord:
    """Add a lower robust accuracy to a record, and build the CSV file beside it anew.

    What the record measured stays as it is. A certificate is checked image by image and kept below
    ``external/``; the accuracy is then what it shows.

    Args:
        path: The record's file, in a folder called ``records``.
        source: Whose attack it was: a paper, an address, a name.
        robust_acc: The share of images that stay robust; None where a certificate shows it.
        certificate: Adversarial images.
        given: Network and images, where the record's own names do not lead to them.

    Raises:
        ClbenchError: The record cannot have one, the accuracy is not lower than what it has, or the
            certificate does not show it.
    """
    check_is_record(path)
    record, place = read_record(path), path.absolute()
    out = next((one.parent for one in place.parents if one.name == "records"), None)
    if out is None:
        raise RecordError(f"record {path} lies in no folder called records; give it where it is")
    if not record.is_bound:
        raise RecordError(f"record {path} is unbound: clbench leaderboard upgrade binds it")
    if record.measure("robust_acc") is None or record.threat_model is None:
        raise RecordError(f"record {path} has no robust accuracy that another could be below")
    value = None if robust_acc is None else share("--robust-acc", robust_acc)
    shown = None
    if certificate is not None:
        shown = _shown(read_certificate(certificate), record, evidence_of(place, out), given)
        if value is not None and abs(value - shown.robust_acc) > _ROUNDED:
            raise BadValueError(
                "--robust-acc must be what the certificate shows, "
                f"{shown.robust_acc:.4f}, got {robust_acc!r}"
            )
        value = shown.robust_acc
    if value is None:
        raise BadValueError("--robust-acc must be given where no --certificate shows it, got none")
    _check_lower(record, value, path, is_shown=shown is not None)
    if shown is not None:
        write_atomically(certificate_of(place, out), shown.content)
    digest = sha256_of(shown.content) if shown else ""
    changed = replace(record, external=External(value, source, digest))
    write_record(changed, path)
    build(out)
    return changed


class _Shown(NamedTuple):
    """What a certificate shows, and its file."""

    robust_acc: float
    content: bytes


def _shown(
    certificate: Certificate, record: EvaluationRecord, evidence_path: Path, given: Given
) -> _Shown:
    evidence = read_evidence(evidence_path, record.evidence_sha256)
    stored = Stored(evidence_path, record, evidence_path, evidence)
    images = find_images(stored, given)
    if problems := of_content(stored, images):
        raise DataError(str(problems[0]))
    asked = find_model(stored, given, images, find_device("cpu"))
    if problems := of_weights(stored, asked.model, given):
        raise WeightsError(str(problems[0]))
    check_certificate(certificate, stored, asked)
    return _Shown(robust_beside(certificate, evidence) / len(evidence), certificate.content)


def _check_lower(record: EvaluationRecord, given: float, path: Path, *, is_shown: bool) -> None:
    """Check that an accuracy is below what a record has; images count more than somebody's word."""
    robust, before = record.measure("robust_acc"), record.external
    assert robust is not None, "it was looked at"
    if before is not None and is_shown and not before.certificate_sha256:
        before = None
    lowest = before.robust_acc if before else robust.value
    if given < lowest:
        return
    whose = f"{before.source!r}, added before," if before else "the record itself"
    raise BadValueError(
        f"--robust-acc must be below {lowest:.6g}, which {whose} has in {path}, got {given:.6g}"
        + (", which the certificate shows" if is_shown else "")
    )
