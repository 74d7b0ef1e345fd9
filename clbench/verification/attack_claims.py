"""What a record says of its attack, against what its names stand for and what it must have cost."""

import math
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.autoattack_rows import CASCADES as OF_AUTOATTACK
from clbench.attacks.grammar import CASCADES, read_attack
from clbench.attacks.rows import Passes
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.schema.attack_spec import Parameter, attack_hash
from clbench.schema.errors import ClbenchError
from clbench.schema.protocol import Protocol, protocols
from clbench.schema.records import AttackEntry
from clbench.schema.threat_model import parse_eps, parse_norm
from clbench.verification.findings import FILES, Problem, Stored

_LEAST = 0.9
"""Of the passes that every robust example costs; what was counted was never below 0.99 of them."""

_ROWS = {row.name: row for row in AUTOATTACK}
"""Components of which it is known what a robust example costs, by clbench's own engine."""


def of_attack(stored: Stored) -> Iterator[Problem]:
    """Yield what is wrong with the attack that a record names."""
    record, problem = stored.record, partial(Problem, FILES, stored.path)
    attack = record.attack
    for field in ("forward", "backward"):
        if (passes := getattr(record.counts, field)) < 0:
            yield problem(f"counts.{field}", str(passes), "0 or more")
    if (attack is None) != (record.threat_model is None):
        alone, lacks = ("threat_model", "attack") if attack is None else ("attack", "threat_model")
        yield problem(lacks, "null", f"one, as there is a {alone}")
    if attack is None and record.measure("robust_acc") is not None:
        yield problem("attack", "null", "one, as there is a robust_acc")
    if attack is None or record.threat_model is None:
        return
    given = attack_hash(attack.name, attack.parameters)
    if attack.hash != given:
        yield problem("attack.hash", attack.hash, f"{given} by its parameters")
    yield from _of_name(stored, attack)
    yield from _of_counts(stored, attack)


def of_protocol(stored: Stored) -> Iterator[Problem]:
    """Yield what a record has otherwise than the protocol that it names.

    What was changed by hand is called custom.
    """
    record, n_classes = stored.record, _n_classes(stored)
    protocol = protocols().get(record.protocol)
    if protocol is None or record.threat_model is None:
        return
    threat, data = record.threat_model, record.data
    pairs: dict[str, tuple[object, object]] = {
        "data.name": (data.name, protocol.dataset),
        "data.n": (data.n, protocol.n_examples),
        "threat_model": ((threat.norm, parse_eps(threat.eps)), _threat(protocol)),
        "seed": (record.seed, protocol.seed),
    }
    if record.attack is not None and n_classes:
        with suppress(ClbenchError):  # too few classes for it
            wanted = read_attack(protocol.attack, protocol.threat_model.norm, n_classes)
            pairs["attack.hash"] = record.attack.hash, wanted.hash
    for field, (found, expected) in pairs.items():
        if found != expected:
            said = f"{_shown(expected)} by protocol {record.protocol}"
            yield Problem(FILES, stored.path, field, _shown(found), said)


def _threat(protocol: Protocol) -> tuple[str, object]:
    return protocol.threat_model.norm, protocol.threat_model.eps


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _n_classes(stored: Stored) -> int:
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


def _of_name(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield flags that a name stands for and that are missing, and AutoAttack's own parameters.

    Those of clbench's cascades may be others in another version.
    """
    threat, n_classes = stored.record.threat_model, _n_classes(stored)
    if attack.name not in CASCADES or not n_classes or threat is None:
        return
    try:
        spec = read_attack(attack.name, parse_norm(threat.norm), n_classes)
    except ClbenchError:  # too few classes for any of it
        return
    if attack.name in OF_AUTOATTACK:
        yield from _of_parameters(stored, attack, spec.parameters)
    for flag in spec.flags:
        if flag not in stored.record.flag_names:
            expected = f"{flag}, which its attack raises"
            yield Problem(FILES, stored.path, "flags", "without " + flag, expected)


def _of_parameters(
    stored: Stored, attack: AttackEntry, wanted: dict[str, dict[str, Parameter]]
) -> Iterator[Problem]:
    problem, name = partial(Problem, FILES, stored.path), attack.name
    if list(wanted) != list(attack.parameters):
        had, its = (" + ".join(one) or "nothing" for one in (attack.parameters, wanted))
        yield problem("attack.parameters", had, f"{its}, which {name} stands for")
        return
    sure = stored.evidence is not None and stored.evidence.logits is not None
    for component, values in wanted.items():
        given = attack.parameters[component]
        for key in sorted({*values, *given}):
            if given.get(key) != values.get(key) and (sure or key != "n_target_classes"):
                field, expected = f"attack.parameters.{component}.{key}", values.get(key)
                yield problem(field, str(given.get(key)), f"{expected}, which {name} stands for")


def _of_counts(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield passes that are fewer than the examples that stayed robust must have cost."""
    evidence, n_classes = stored.evidence, _n_classes(stored)
    threat = stored.record.threat_model
    known = attack.backend == "native" and _ROWS.keys() >= attack.parameters.keys()
    if evidence is None or threat is None or not (known and n_classes and parse_eps(threat.eps)):
        return
    robust = int((evidence.broken_by == BY_NOTHING).sum())
    # Square does not ask again what it knows, so that it costs some examples less
    counted = {name: of for name, of in attack.parameters.items() if not _ROWS[name].black_box}
    try:
        costs = [_ROWS[name].cost(given, n_classes) for name, given in counted.items()]
        each = {field: math.fsum(getattr(one, field) for one in costs) for field in Passes._fields}
    except (KeyError, TypeError, ValueError, OverflowError):  # no parameters of these attacks
        return
    for field, passes in each.items():
        least = robust * passes
        found = getattr(stored.record.counts, field)
        if found < _LEAST * least:
            said = f"about {least:,.0f} or more, which {robust} robust examples cost this attack"
            yield Problem(FILES, stored.path, f"counts.{field}", f"{found:,}", said)
