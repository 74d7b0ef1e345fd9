"""A bundle into a leaderboard: verified as a stranger's, then its files beside the others."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clbench.leaderboard.bundles.card import card
from clbench.leaderboard.bundles.layout import EVIDENCE, RECORD, WEIGHTS, check_weights
from clbench.leaderboard.bundles.make import check_is_useful, where_weights_are
from clbench.leaderboard.bundles.read import Bundle, read_bundle
from clbench.leaderboard.check import check_target
from clbench.leaderboard.table import build
from clbench.schema.errors import ClbenchError, RecordError
from clbench.schema.files import write_atomically
from clbench.schema.records import (
    EvaluationRecord,
    read_record,
    records_by_path,
    run_paths,
)
from clbench.verification.again import ask_again
from clbench.verification.findings import AUDITED, RESCORED, Problem, Verified
from clbench.verification.request import Given, Request, read_request


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
    on_cost: Callable[[str], None],
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
    with TemporaryDirectory(prefix="clbench-") as folder:
        record, verified = _verified(bundle, Path(folder).resolve(), request, on_cost)
    if not verified.holds:
        return Added(verified)
    return _added(bundle, record, out, verified)


def _verified(
    bundle: Bundle, folder: Path, request: Request, on_cost: Callable[[str], None]
) -> tuple[EvaluationRecord, Verified]:
    """Return the record of a bundle, and what a verification of it found, laid out in a folder."""
    names = {folder / name: bundle.path / name for name in bundle.members}
    with _called(names):
        for name, data in bundle.members.items():
            (folder / name).write_bytes(data)
        record = read_record(folder / RECORD)
        check_is_useful(record, folder / RECORD)
        if WEIGHTS in bundle.members:
            check_weights(folder / WEIGHTS)
    paths = run_paths(folder, record.run)
    for place, name in ((paths.record, RECORD), (paths.evidence, EVIDENCE)):
        place.parent.mkdir(parents=True)
        (folder / name).rename(place)
        names[place] = bundle.path / name
    with _called(names):
        verified, read = check_target(paths.record, on_cost)
        if verified.holds:
            its_own = folder / WEIGHTS if WEIGHTS in bundle.members else None
            given = replace(request.given, weights=request.given.weights or its_own)
            verified = ask_again(verified, read, replace(request, given=given), on_cost)
            verified = _with_a_hint(verified, bundle, given)
    return record, _renamed(verified, names)


def _with_a_hint(verified: Verified, bundle: Bundle, given: Given) -> Verified:
    """Say where the weights are, where a network was asked that has others."""
    fields = {one.field for one in verified.problems}
    if given.weights is not None or "model.weights_sha256" not in fields:
        return verified
    where = where_weights_are(False, bundle.weights_url)
    hint = f"bundle {bundle.path}: its weights are {where}; give them with --weights"
    told = Problem(RESCORED, bundle.path, "weights", hint, "")
    return replace(verified, problems=(*verified.problems, told))


def _added(bundle: Bundle, record: EvaluationRecord, out: Path, verified: Verified) -> Added:
    """Write the files of a record that holds, the record last, and the CSV."""
    paths = run_paths(out, record.run)
    weights = where_weights_are(WEIGHTS in bundle.members, bundle.weights_url)
    files = {
        paths.evidence: bundle.members[EVIDENCE],
        out / "cards" / paths.record.relative_to(out / "records").with_suffix(".md"): card(
            record, weights
        ).encode(),
        paths.record: bundle.members[RECORD],
    }
    known = [at for at, one in records_by_path(out).items() if one.run.hash == record.run.hash]
    for place in {*known, paths.record, paths.evidence}:
        if place.exists() and place.read_bytes() != files.get(place):
            raise RecordError(
                f"{place} is of the same run as bundle {bundle.path} and says something else; "
                "nothing was written; move it away if the bundle is to count"
            )
    for place, data in files.items():
        if not place.exists():
            write_atomically(place, data)
    build(out)
    return Added(verified, paths.record, is_new=not known)


@contextmanager
def _called(names: Mapping[Path, Path]) -> Iterator[None]:
    """Let errors in the block name files as in the bundle, not where they were laid out."""
    try:
        yield
    except ClbenchError as error:
        raise RecordError(_with(names, str(error))) from error


def _renamed(verified: Verified, names: Mapping[Path, Path]) -> Verified:
    """Return what was found, its files called as in the bundle."""
    problems = (
        replace(
            one,
            file=names.get(one.file, one.file),
            found=_with(names, one.found),
            expected=_with(names, one.expected),
        )
        for one in verified.problems
    )
    return replace(
        verified,
        problems=tuple(problems),
        remarks=tuple(_with(names, one) for one in verified.remarks),
        audits=tuple(replace(one, file=names.get(one.file, one.file)) for one in verified.audits),
    )


def _with(names: Mapping[Path, Path], text: str) -> str:
    for place, name in names.items():
        text = text.replace(str(place), str(name))
    return text
