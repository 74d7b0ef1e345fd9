"""A bundle into a leaderboard: verified as a stranger's, then its files beside the others."""

from dataclasses import dataclass
from pathlib import Path

from clbench.leaderboard.bundles.card import card
from clbench.leaderboard.bundles.layout import RECORD, WEIGHTS
from clbench.leaderboard.bundles.make import where_weights_are
from clbench.leaderboard.bundles.read import Bundle, read_bundle
from clbench.leaderboard.bundles.verify import OnCost, places_of, verify_bundle
from clbench.leaderboard.table import build
from clbench.schema.errors import RecordError
from clbench.schema.files import holds, write_atomically
from clbench.schema.record_files import records_by_path
from clbench.schema.records import EvaluationRecord
from clbench.verification.findings import AUDITED, RESCORED, Verified
from clbench.verification.request import Given, read_request


@dataclass(frozen=True)
class Added:
    """What a verification found, and where the record is; None where something does not hold.

    ``is_new`` says whether it was not there before.
    """

    verified: Verified
    record: Path | None = None
    is_new: bool = False


def add(
    path: Path,
    out: Path,
    given: Given,
    *,
    audit: int | None = None,
    device: str = "auto",
    on_cost: OnCost,
) -> Added:
    """Verify a bundle at levels 1 and 2, add its record to a leaderboard, and build the CSV.

    Where anything does not hold, nothing is written. Nothing of a bundle is run: a network of its
    maker's own code must be given by hand.

    Args:
        path: The bundle.
        out: A folder of results; it need not be there.
        given: The network and images where the record's own names do not lead to them.
        audit: How many robust examples to attack again, which is level 3; None does not.
        device: auto, cpu, cuda or cuda:N.
        on_cost: Told in a line what each level costs, before it begins.

    Raises:
        ClbenchError: The bundle is damaged or none, the leaderboard has another record of its run
            or cannot be read, or a file cannot be written.
    """
    level = AUDITED if audit is not None else RESCORED
    request = read_request(given, level=level, audit=audit, nonce=None, attack=None, device=device)
    bundle = read_bundle(path)
    record, verified = verify_bundle(bundle, request, on_cost)
    return _added(bundle, record, out, verified) if verified.holds else Added(verified)


def _added(bundle: Bundle, record: EvaluationRecord, out: Path, verified: Verified) -> Added:
    """Write the files of a record that holds, the record last, and the CSV.

    Raises:
        RecordError: The leaderboard has other files of the same run.
        StorageError: One cannot be written; what was written is completed by another try.
    """
    places = places_of(record, out)
    files = {place: bundle.members[name] for name, place in places.items()}
    known = [at for at, one in records_by_path(out).items() if one.run.hash == record.run.hash]
    for place in (*files, *known):
        if place.exists() and not holds(place, files.get(place)):
            raise RecordError(
                f"{place} is of the same run as bundle {bundle.path} and says something else; "
                "nothing was written; move it away if the bundle is to count"
            )
    inside = places[RECORD].relative_to(out / "records").with_suffix(".md")
    weights = where_weights_are(WEIGHTS in bundle.members, bundle.weights_url)
    for place, data in {out / "cards" / inside: card(record, weights).encode(), **files}.items():
        if not place.exists():
            write_atomically(place, data)
    build(out)
    return Added(verified, places[RECORD], is_new=not known)
