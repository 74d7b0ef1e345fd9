"""Levels 2 and 3 of some records; the cost of each is told before it begins."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from clbench.attacks.interface import AttackPlan
from clbench.attacks.rows import Passes
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.runtime.devices import find_device
from clbench.schema.errors import BadValueError, ClbenchError
from clbench.schema.record_files import certificate_of, folder_of
from clbench.schema.records import EvaluationRecord
from clbench.verification.ask import Asked, find_images, find_model, of_content, of_weights
from clbench.verification.audit import audit, auditing_plan
from clbench.verification.audit import passes_of as passes_of_plan
from clbench.verification.external_again import check_certificate
from clbench.verification.external_images import read_certificate
from clbench.verification.findings import AUDITED, RESCORED, Audit, Problem, Stored, Verified
from clbench.verification.parameters import of_packaged
from clbench.verification.request import Request
from clbench.verification.rescore import passes_of, rescore

OnCost = Callable[[str], None]
"""Told in a line what the next level costs."""

_MINUTE = 60


class _Held(NamedTuple):
    """A record that holds so far, with its network and its images."""

    stored: Stored
    evidence: Evidence
    asked: Asked


def ask_again(
    verified: Verified, read: Sequence[Stored], request: Request, on_cost: OnCost
) -> Verified:
    """Return what holds of records whose files were checked, asked as far as was requested.

    Those whose files do not hold are not asked about, and only those that the network confirms
    are audited.

    Raises:
        BadValueError: One model was given for several records, or there is no such device.
    """
    if request.given.model is not None and len(read) > 1:
        raise BadValueError(f"model must be of one record, got {len(read)}; name the record")
    find_device(request.device)
    wrong = {problem.file for problem in verified.problems}
    sound = [one for one in read if not {one.path, one.evidence_path} & wrong]
    sound = [one for one in sound if one.evidence is not None and one.record.threat_model]
    skipped = len(read) - len(sound)
    remarks = [f"{skipped} of {len(read)} records were not asked about again"] * (skipped > 0)
    on_cost(_cost_of_rescoring(sound))
    problems: list[Problem] = []
    held: list[_Held] = []
    for stored in sound:
        found, more = _rescored(stored, request, held)
        problems += found
        remarks += more
    audits: list[Audit] = []
    if request.level == AUDITED and held:
        found, audits = _audited(held, request, on_cost)
        problems += found
    return replace(
        verified,
        level=request.level,
        problems=(*verified.problems, *problems),
        remarks=(*verified.remarks, *remarks),
        audits=tuple(audits),
    )


def _rescored(
    stored: Stored, request: Request, held: list[_Held]
) -> tuple[list[Problem], list[str]]:
    """Return what level 2 finds in a record; one that holds joins ``held``."""
    assert stored.evidence is not None, "others were left out"
    try:
        images = find_images(stored, request.given)
        if problems := of_content(stored, images):
            return problems, []
        asked = find_model(stored, request.given, images, find_device(request.device))
        found = rescore(stored, stored.evidence, asked)
    except ClbenchError as error:
        return [Problem.of_error(RESCORED, stored.path, error)], []
    problems = [
        *of_weights(stored, asked.model, request.given),
        *found.problems,
        *of_packaged(stored),
        *_of_external(stored, asked),
    ]
    if not problems:
        held.append(_Held(stored, stored.evidence, asked))
    return problems, found.remarks


def _of_external(stored: Stored, asked: Asked) -> Iterator[Problem]:
    """Yield what the network says otherwise than images that somebody else found."""
    external, out = stored.record.external, folder_of(stored.path)
    if external is None or not external.certificate_sha256 or out is None:
        return
    kept = certificate_of(stored.path, out)
    try:
        check_certificate(read_certificate(kept), stored, asked)
    except ClbenchError as error:
        yield Problem.of_error(RESCORED, kept, error)


def _audited(
    held: Sequence[_Held], request: Request, on_cost: OnCost
) -> tuple[list[Problem], list[Audit]]:
    """Return what level 3 finds in records."""
    problems: list[Problem] = []
    plans: list[tuple[_Held, AttackPlan]] = []
    for one in held:
        try:
            plan = auditing_plan(one.stored, one.asked.images.n_classes, request.attack)
            plans.append((one, plan))
        except ClbenchError as error:
            problems.append(Problem.of_error(AUDITED, one.stored.path, error))
    on_cost(_cost_of_audit(plans, request))
    audits: list[Audit] = []
    for (stored, evidence, asked), plan in plans:
        found, wrong = audit(stored, evidence, asked, plan, n=request.n, nonce=request.nonce)
        audits.append(found)
        problems += wrong
    return problems, audits


def _cost_of_rescoring(read: Sequence[Stored]) -> str:
    evidences = [(one.record, one.evidence) for one in read if one.evidence is not None]
    passes = [passes_of(evidence) for _, evidence in evidences]
    pairs = zip(evidences, passes, strict=True)
    seconds = math.fsum(_seconds(record, Passes(n)) for (record, _), n in pairs)
    return (
        f"level 2, re-scoring: {sum(passes):,} forward passes and some for flags, "
        f"{_about(seconds)} at the speed of the runs"
    )


def _cost_of_audit(plans: Sequence[tuple[_Held, AttackPlan]], request: Request) -> str:
    costs, seconds = [], 0.0
    for one, plan in plans:
        n = min(request.n, int((one.evidence.broken_by == BY_NOTHING).sum()))
        cost = passes_of_plan(plan, n, one.asked.images.n_classes)
        costs.append(cost)
        seconds += _seconds(one.stored.record, cost)
    forward, backward = (sum(cost[field] for cost in costs) for field in (0, 1))
    return (
        f"level 3, audit: at most {forward:,.0f} forward and {backward:,.0f} backward passes, "
        f"{_about(seconds)} at the speed of the runs; nonce {request.nonce}"
    )


def _seconds(record: EvaluationRecord, passes: Passes) -> float:
    """Return how long passes take where a pass takes as long as in a run."""
    whole = Passes(record.counts.forward, record.counts.backward).cost
    return record.wall_s * passes.cost / max(whole, 1.0)


def _about(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"about {seconds:.0f} s"
    return f"about {seconds / _MINUTE:.0f} min"
