"""What can be checked of external accuracies without a network: files and hashes."""

from pathlib import Path

from clbench.schema.files import sha256_of_file
from clbench.schema.records import EvaluationRecord, certificate_of


def problems_of_external(record: EvaluationRecord, path: Path, out: Path) -> list[str]:
    """Return what is wrong with a record's external accuracy without asking a network."""
    external, robust = record.external, record.measure("robust_acc")
    if external is None:
        return []
    found = []
    if robust is None or not external.robust_acc < robust.value:
        found.append(f"record {path}: external must be below robust_acc, it is not")
    if external.certificate_sha256:
        kept = certificate_of(path, out)
        try:
            digest = sha256_of_file(kept)
        except OSError as error:
            return [*found, f"certificate {kept} cannot be read: {error.strerror}"]
        if digest != external.certificate_sha256:
            found.append(f"certificate {kept} is not the one that its record names")
    return found
