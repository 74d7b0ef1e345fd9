"""What files tell of a lower robust accuracy that somebody added to a record."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clbench.schema.errors import ClbenchError
from clbench.schema.files import sha256_of_file
from clbench.schema.record_files import certificate_of
from clbench.schema.threat_model import PIXEL_TOLERANCE
from clbench.verification.external_images import Certificate, read_certificate, robust_beside
from clbench.verification.findings import FILES, Problem, Stored


def of_external(stored: Stored, out: Path) -> Iterator[Problem]:
    """Yield what is wrong with a record's external accuracy, and with the images kept for it."""
    external, robust = stored.record.external, stored.record.measure("robust_acc")
    if external is None:
        return
    if robust is None or not external.robust_acc < robust.value:
        expected = "below robust_acc" if robust else "nothing, as nothing was attacked"
        found = f"{external.robust_acc:.6g}"
        yield Problem(FILES, stored.path, "external.robust_acc", found, expected)
    if external.certificate_sha256 and stored.evidence is not None:
        yield from _of_images(stored, certificate_of(stored.path, out))


def _of_images(stored: Stored, kept: Path) -> Iterator[Problem]:
    """Yield what is wrong with the images, and what their number says of the accuracy."""
    external, evidence = stored.record.external, stored.evidence
    assert external is not None, "it names a certificate"
    assert evidence is not None, "it was read"
    problem = partial(Problem, FILES)
    digest = sha256_of_file(kept) if kept.is_file() else external.certificate_sha256
    if digest != external.certificate_sha256:
        yield problem(kept, "sha256", digest, f"{external.certificate_sha256} by its record")
        return
    try:
        found = read_certificate(kept)
        shown = robust_beside(found, evidence) / len(evidence)
    except ClbenchError as error:
        yield Problem.of_error(FILES, kept, error)
        return
    if external.robust_acc != shown:
        had, expected = f"{external.robust_acc:.6g}", f"{shown:.6g} by its certificate"
        yield problem(stored.path, "external.robust_acc", had, expected)
    if (outside := _outside(found)) is not None:
        at = f"adversarial of example {outside}"
        yield problem(kept, at, "with others", "pixels from 0 to 1")


def _outside(certificate: Certificate) -> int | None:
    """Return the first example whose image leaves the pixel range; None where none does."""
    images = certificate.adversarial.reshape(len(certificate.index), -1)
    low, high = images.min(axis=1, initial=0), images.max(axis=1, initial=1)
    inside = (low >= -PIXEL_TOLERANCE) & (high <= 1 + PIXEL_TOLERANCE)  # NaN is not
    return None if inside.all() else int(certificate.index[~inside][0])
