"""What files tell of a lower robust accuracy that somebody added to a record."""

from collections.abc import Iterator
from pathlib import Path

from clbench.schema.files import sha256_of_file
from clbench.schema.record_files import certificate_of
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
    if not external.certificate_sha256:
        return
    kept = certificate_of(stored.path, out)
    try:
        digest = sha256_of_file(kept)
    except OSError as error:
        why = error.strerror or type(error).__name__
        yield Problem(FILES, kept, "certificate", why, "the one that its record names")
        return
    if digest != external.certificate_sha256:
        yield Problem(FILES, kept, "sha256", digest, f"{external.certificate_sha256} by its record")
