"""A folder that holds a comparison already: the same one, or another that must not be mixed in."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from clbench.analysis.comparisons import COMPARISONS
from clbench.analysis.figures.style import FORMATS
from clbench.analysis.pages import CONTROLS, DEPTH_CURVES, PROBE_ACCURACY
from clbench.analysis.store import ACCURACIES, FIGURES, MATRICES, RECORD, SIMILARITIES, SUMMARY
from clbench.schema.errors import BadValueError
from clbench.schema.probe_record import ProbeRecord, read_probe_record

_DECIDES: Mapping[str, Callable[[ProbeRecord], object]] = {
    "models": lambda one: [(m.name, m.identity_sha256, m.source, m.files) for m in one.models],
    "images": lambda one: one.data.sha256,
    "training images": lambda one: one.training and one.training.sha256,
    "threat model": lambda one: one.threat_model,
    "attack": lambda one: one.attack.hash,
    "comparisons": lambda one: (one.comparisons, one.common),
    "layers": lambda one: one.layers,
    "measure": lambda one: (one.measure, one.estimator),
    "permutations": lambda one: one.permutations,
    "pooling": lambda one: one.pooling,
    "seed": lambda one: one.seed,
}
"""What one comparison differs in from another; versions and devices make none."""

_PAGES = (DEPTH_CURVES, CONTROLS, PROBE_ACCURACY, *COMPARISONS)
_NAMES = frozenset(
    {
        *(MATRICES, SIMILARITIES, SUMMARY, ACCURACIES),
        *(f"{FIGURES}/{page}.{form}" for page in _PAGES for form in FORMATS),
    }
)
"""Of all files that a comparison may have beside its record."""


def check_folder(folder: Path, wanted: ProbeRecord) -> None:
    """Check before the attacks that a folder holds no other comparison than the one wanted.

    Raises:
        BadValueError: It does; the message says in what they differ.
        RecordError: It holds one that cannot be read.
    """
    if not (folder / RECORD).exists():
        return
    found = read_probe_record(folder / RECORD)
    other = [what for what, of in _DECIDES.items() if of(found) != of(wanted)]
    if other:
        raise BadValueError(
            f"{folder} holds a probe with other {' and '.join(other)} (of "
            f"{', '.join(one.name for one in found.models)}); give another --out, or replace it "
            "with --restart"
        )


def discard_former(folder: Path, kept: Collection[str]) -> None:
    """Remove the files of a comparison that was replaced, but for those of the new one.

    Nothing else in the folder is touched, whatever a record says.
    """
    for name in _NAMES - set(kept):
        (folder / name).unlink(missing_ok=True)
