"""The record of a bundle, verified in a folder of its own, which is gone afterwards."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clbench.leaderboard.bundles.layout import EVIDENCE, EXTERNAL, RECORD, WEIGHTS, check_weights
from clbench.leaderboard.bundles.make import (
    check_is_useful,
    names_a_certificate,
    where_weights_are,
)
from clbench.leaderboard.bundles.read import Bundle
from clbench.leaderboard.check import check_target
from clbench.schema.errors import ClbenchError, RecordError
from clbench.schema.record_files import certificate_of, read_record, run_paths
from clbench.schema.records import EvaluationRecord
from clbench.verification.again import ask_again
from clbench.verification.findings import RESCORED, Problem, Verified
from clbench.verification.request import Given, Request

OnCost = Callable[[str], None]
"""Told in a line what each level costs, before it begins."""


def verify_bundle(
    bundle: Bundle, request: Request, on_cost: OnCost
) -> tuple[EvaluationRecord, Verified]:
    """Return the record of a bundle, and what a verification of it found.

    The network is asked only where files hold. Weights that are given count, otherwise those in the
    bundle.

    Raises:
        RecordError: It holds no record that could be verified, or a value cannot be.
    """
    with TemporaryDirectory(prefix="clbench-") as folder:
        return _in_folder(bundle, Path(folder).resolve(), request, on_cost)


def places_of(record: EvaluationRecord, out: Path) -> dict[str, Path]:
    """Return where the files of a record belong below a folder of results, the record last."""
    paths = run_paths(out, record.run)
    places = {EVIDENCE: paths.evidence, RECORD: paths.record}
    if names_a_certificate(record):
        return {EXTERNAL: certificate_of(paths.record, out), **places}
    return places


def _in_folder(
    bundle: Bundle, folder: Path, request: Request, on_cost: OnCost
) -> tuple[EvaluationRecord, Verified]:
    names = {folder / name: bundle.path / name for name in bundle.members}
    with _called(names):
        for name, data in bundle.members.items():
            (folder / name).write_bytes(data)
        record = read_record(folder / RECORD)
        check_is_useful(record, folder / RECORD)
        if WEIGHTS in bundle.members:
            check_weights(folder / WEIGHTS)
    places = places_of(record, folder)
    if EXTERNAL in bundle.members and EXTERNAL not in places:
        raise RecordError(
            f"bundle {bundle.path} holds {EXTERNAL!r}, which its record does not name"
        )
    for name, place in places.items():
        names[place] = bundle.path / name
        if name in bundle.members:
            place.parent.mkdir(parents=True)
            (folder / name).rename(place)
    its_own = folder / WEIGHTS if WEIGHTS in bundle.members else None
    given = replace(request.given, weights=request.given.weights or its_own)
    with _called(names):
        verified, read = check_target(places[RECORD], on_cost)
        if verified.holds:
            verified = ask_again(verified, read, replace(request, given=given), on_cost)
    return record, _with_a_hint(_renamed(verified, names), bundle, given)


def _with_a_hint(verified: Verified, bundle: Bundle, given: Given) -> Verified:
    """Say where the weights are, where a network was asked that has others."""
    fields = {one.field for one in verified.problems}
    if given.weights is not None or "model.weights_sha256" not in fields:
        return verified
    where = where_weights_are(False, bundle.weights_url)
    hint = f"bundle {bundle.path}: its weights are {where}; give them with --weights"
    told = Problem(RESCORED, bundle.path, "weights", hint, "")
    return replace(verified, problems=(*verified.problems, told))


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
