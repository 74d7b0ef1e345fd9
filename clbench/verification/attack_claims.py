"""What a record says of its attack, against what its names stand for."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from clbench.attacks.autoattack_rows import CASCADES as OF_AUTOATTACK
from clbench.attacks.grammar import CASCADES, COMPONENTS, JOIN, read_attack, runners_of
from clbench.schema.attack_spec import Parameter, attack_hash
from clbench.schema.errors import ClbenchError
from clbench.schema.protocol import Protocol, protocols
from clbench.schema.records import AttackEntry
from clbench.schema.threat_model import parse_eps, parse_norm
from clbench.verification.findings import FILES, Problem, Stored
from clbench.verification.pass_claims import least_n_classes, of_passes

_OLD_NAMES = {"clbench": "native"}
"""A backend as records of version 0.1 call it."""


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
    yield from _of_components(stored, attack)
    yield from _of_backend(stored, attack)
    yield from _of_name(stored, attack)
    yield from of_passes(stored, attack)


def of_protocol(stored: Stored) -> Iterator[Problem]:
    """Yield what a record has otherwise than the protocol that it names.

    What was changed by hand is called custom.
    """
    record, n_classes = stored.record, least_n_classes(stored)
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


def _of_components(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield components that are others than those that the attack is named after."""
    named = [name for part in attack.name.split(JOIN) for name in _stands_for(part)]
    n_classes, had = least_n_classes(stored), list(attack.parameters)
    wanted = [name for name in named if name in had or not _needs_more(name, n_classes)]
    if had != wanted:
        found, its = (JOIN.join(one) or "nothing" for one in (had, wanted))
        expected = f"{its}, which the name {attack.name!r} stands for"
        yield Problem(FILES, stored.path, "attack.parameters", found, expected)


def _stands_for(name: str) -> list[str]:
    return CASCADES[name].names if name in CASCADES else [name]


def _needs_more(component: str, n_classes: int) -> bool:
    """Say whether so few classes may be too few for a component."""
    return component in COMPONENTS and n_classes < COMPONENTS[component].least_classes


def _of_backend(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield that those who are said to have run the attack do not have it, or had no part in it."""
    said = {_OLD_NAMES.get(name, name) for name in attack.backend.split("+")}
    can = [runners_of(component) for component in attack.parameters]
    if all(said & {*one} for one in can) and said <= {name for one in can for name in one}:
        return
    lacking = next((one for one in can if not said & {*one}), can[0] if can else ())
    component = next((name for name in attack.parameters if runners_of(name) == lacking), "it")
    expected = f"{' or '.join(lacking)}, who can run {component!r}"
    yield Problem(FILES, stored.path, "attack.backend", repr(attack.backend), expected)


def _of_name(stored: Stored, attack: AttackEntry) -> Iterator[Problem]:
    """Yield flags that a name stands for and that are missing, and AutoAttack's own parameters.

    Those of clbench's cascades may be others in another version.
    """
    threat, n_classes = stored.record.threat_model, least_n_classes(stored)
    if attack.name not in CASCADES or not n_classes or threat is None:
        return
    try:
        spec = read_attack(attack.name, parse_norm(threat.norm), n_classes)
    except ClbenchError:  # too few classes for any of it
        return
    if attack.name in OF_AUTOATTACK or stored.is_of_today:
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
        return  # which was told
    sure = stored.evidence is not None and stored.evidence.logits is not None
    for component, values in wanted.items():
        given = attack.parameters[component]
        for key in sorted({*values, *given}):
            if given.get(key) != values.get(key) and (sure or key != "n_target_classes"):
                field, expected = f"attack.parameters.{component}.{key}", values.get(key)
                yield problem(field, str(given.get(key)), f"{expected}, which {name} stands for")
