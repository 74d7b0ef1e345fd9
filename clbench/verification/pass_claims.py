"""What a record says that its attack cost, against what every robust example must have cost."""

import math
from collections.abc import Iterator

from clbench.attacks.autoattack_rows import SQUARE_REMEMBERS
from clbench.attacks.grammar import COMPONENTS
from clbench.attacks.rows import Passes
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.schema.records import AttackEntry
from clbench.schema.threat_model import parse_eps
from clbench.verification.findings import FILES, Problem, Stored

_LEAST = 0.9
"""Of the passes that every robust example costs; what was counted was never below 0.99 of them."""


def least_n_classes(stored: Stored) -> int:
    """Return among how many classes the network chooses, at least; 0 where nothing tells.

    Evidence of version 0.1 has no logits, and shows classes by what is labelled and predicted.
    """
    evidence = stored.evidence
    if evidence is None:
        return 0
    if evidence.logits is not None:
        return int(evidence.logits.shape[1])
    shown = (evidence.label, evidence.clean_pred, evidence.adv_pred)
    return max(int(one.max(initial=-1)) for one in shown) + 1


def of_passes(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield passes that are fewer than the examples that stayed robust must have cost."""
    evidence, threat = stored.evidence, stored.record.threat_model
    if evidence is None or threat is None or not parse_eps(threat.eps):
        return
    robust = int((evidence.broken_by == BY_NOTHING).sum())
    costs = _costs(attack, least_n_classes(stored), asks_all=_asks_all(stored))
    for field in Passes._fields:
        least = robust * math.fsum(getattr(one, field) for one in costs)
        found = getattr(stored.record.counts, field)
        if found < _LEAST * least:
            said = f"about {least:,.0f} or more, which {robust} robust examples cost this attack"
            yield Problem(FILES, stored.path, f"counts.{field}", f"{found:,}", said)


def _asks_all(stored: Stored) -> bool:
    """Say whether whoever ran Square asked every query, and none of them from memory."""
    record, evidence = stored.record, stored.evidence
    assert record.attack is not None, "something was attacked"
    assert record.threat_model is not None, "something was attacked"
    assert evidence is not None, "it was read"
    if "native" not in record.attack.backend or record.threat_model.norm != "Linf":
        return True
    kept = evidence.certificates
    return kept is not None and math.prod(kept.coded.shape[1:]) > SQUARE_REMEMBERS


def _costs(attack: AttackEntry, n_classes: int, *, asks_all: bool) -> list[Passes]:
    """Return what every robust example costs, of components of which that is known."""
    costs = []
    for name, given in attack.parameters.items():
        row = COMPONENTS.get(name)
        if row is None or row.is_guessed or not n_classes:
            continue
        if row.black_box and not asks_all:
            continue
        try:
            costs.append(row.cost(given, n_classes))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue  # these are no parameters of it, which is told elsewhere
    return costs
