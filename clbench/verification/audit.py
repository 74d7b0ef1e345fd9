"""Level 3: examples that are claimed to be robust, drawn afterwards and attacked again."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from clbench.attacks.grammar import read_attack
from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import bind, plan_attack
from clbench.attacks.rows import Passes
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.run import evaluate
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.schema.attack_spec import Component
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel, parse_eps, parse_norm
from clbench.verification.ask import Asked
from clbench.verification.bounds import at_least, at_most, draw, seed_of
from clbench.verification.findings import AUDITED, Audit, Problem, Stored

ALLOWED, ALLOWED_FEW = 0.01, 2
"""The share of claimed-robust examples that a stronger attack may break of an honest claim; and how
many of few examples, of which one is more than that."""

_MORE = {"n_restarts": 5, "n_queries": 2}
"""How many times more of what an attack of the strongest kind has the auditor's."""

_CLAIMS = ("autoattack", "autoattack-plus", "autoattack-rand", "fast+autoattack", "best")
"""Attacks whose result is read as robustness itself; what others leave, stronger ones may break."""


def _thorough(norm: NormName, n_classes: int) -> str:
    """Return best with more restarts and queries."""
    spec = read_attack("best", norm, n_classes)
    return " + ".join(_with_more(one) for one in spec.components)


def _with_more(component: Component) -> str:
    given = component.parameters
    options = [f"{key}={int(given[key]) * n}" for key, n in _MORE.items() if key in given]
    return ",".join([component.name, *options])


def _averaged(_norm: NormName, _n_classes: int) -> str:
    """Return attacks whose gradients are means of many, with more restarts."""
    options = "eot_iter=20,n_restarts=5"
    return " + ".join(f"{name},{options}" for name in ("apgd-ce", "apgd-dlr"))


def _best(_norm: NormName, _n_classes: int) -> str:
    return "best"


_STRONGER: Mapping[str, Callable[[NormName, int], str]] = {
    "best": _thorough,
    "autoattack-plus": _thorough,
    "autoattack-rand": _averaged,
}
"""By the attack that was claimed, what an auditor attacks with; best for all others."""


def auditing_plan(stored: Stored, n_classes: int, wanted: str | None) -> AttackPlan:
    """Return what is to attack again: what is ``wanted``, or something stronger than was claimed.

    Raises:
        ClbenchError: There is no such attack, or not on so few classes.
    """
    record = stored.record
    assert record.threat_model is not None, "something was attacked"
    assert record.attack is not None, "something was attacked"
    norm = parse_norm(record.threat_model.norm)
    stronger = _STRONGER.get(record.attack.name, _best)
    return plan_attack(wanted or stronger(norm, n_classes), norm, n_classes)


def passes_of(plan: AttackPlan, n: int, n_classes: int) -> Passes:
    """Return the passes of ``n`` images at most."""
    steps = bind(plan, n_classes)
    forward, backward = (
        n * math.fsum(getattr(step.passes, field) for step in steps)
        for field in ("forward", "backward")
    )
    return Passes(forward, backward)


def audit(
    stored: Stored, evidence: Evidence, asked: Asked, plan: AttackPlan, *, n: int, nonce: str
) -> tuple[Audit, list[Problem]]:
    """Return what an attack finds among ``n`` examples that a record claims to be robust.

    Which ones, and its random numbers, follow from the sha256 of the evidence and the nonce.
    """
    record, digest = stored.record, stored.record.evidence_sha256
    assert record.threat_model is not None, "something was attacked"
    robust = np.flatnonzero(evidence.broken_by == BY_NOTHING).tolist()
    places, seed = draw(digest, nonce, robust, n), seed_of(digest, nonce)
    broken: list[int] = []
    if places:
        result = evaluate(
            asked.model.network,
            asked.images.select(torch.tensor(places)),
            bind(plan, asked.images.n_classes),
            ThreatModel(parse_norm(record.threat_model.norm), parse_eps(record.threat_model.eps)),
            seed=seed,
            batch_size=None,
            device=asked.device,
            keep_adversarial=False,
        )
        said = zip(evidence.index[places].tolist(), result.broken_by, strict=True)
        broken = [example for example, by in said if by != BY_NOTHING]
    most = at_most(len(broken), len(places), len(robust)) / max(len(robust), 1)
    found = Audit(
        file=stored.path,
        attack=plan.spec.name,
        nonce=nonce,
        digest=digest,
        seed=seed,
        robust=len(robust),
        attacked=len(places),
        broken=len(broken),
        at_most=most,
        index=tuple(broken),
    )
    return found, _contradicted(stored, found, plan)


def _contradicted(stored: Stored, found: Audit, plan: AttackPlan) -> list[Problem]:
    """Return a problem where more is broken than an honest claim allows.

    That a stronger attack breaks what a weak one left contradicts nobody; the same attack does.
    """
    attack = stored.record.attack
    if attack is None or (attack.name not in _CLAIMS and attack.hash != plan.spec.hash):
        return []
    least = at_least(found.broken, found.attacked, found.robust)
    if least <= max(ALLOWED * found.robust, ALLOWED_FEW):
        return []
    said = f"{found.broken} of {found.attacked} broken, so at least {least} of {found.robust}"
    expected = f"at most {ALLOWED:.0%}, or {ALLOWED_FEW}, at 95 %, by {found.attack}"
    return [Problem(AUDITED, stored.path, "robust examples", said, expected)]
