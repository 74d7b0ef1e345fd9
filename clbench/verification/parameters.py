"""Parameters of attacks as a record has them, against those that the attacks can be run with.

An attack's hash is made of them, and hashes rank: one attack must not be written in two ways.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from clbench.attacks.grammar import COMPONENTS
from clbench.attacks.rows import ComponentRow
from clbench.attacks.torchattacks_rows import PREFIX
from clbench.schema.attack_spec import TRANSFER, Parameter, read_value
from clbench.schema.errors import BadValueError, InstallationError
from clbench.schema.names import NormName
from clbench.schema.numbers import LARGEST_COUNT
from clbench.schema.text import cut, shown
from clbench.schema.threat_model import parse_norm
from clbench.verification.findings import FILES, RESCORED, Problem, Stored

_HASHES = re.compile(r"([0-9a-f]{64})?( ([0-9a-f]{64})?)*")

_Wrong = tuple[str, str, str]
"""A part of a component, what it is, and what it has to be."""


def of_parameters(stored: Stored) -> Iterator[Problem]:
    """Yield parameters of clbench's own components that nothing sets them to.

    Those of a user's own code are known to that alone.
    """
    return _of_all(stored, FILES, lambda name: not name.startswith(PREFIX))


def of_packaged(stored: Stored) -> Iterator[Problem]:
    """Yield the same of attacks of torchattacks, which is loaded for it, where it is installed.

    Some of them are told the number of classes, which logits tell.
    """
    if stored.evidence is None or stored.evidence.logits is None:
        return
    with suppress(InstallationError):
        yield from _of_all(stored, RESCORED, lambda name: name.startswith(PREFIX))


def _of_all(stored: Stored, level: int, asks: Callable[[str], bool]) -> Iterator[Problem]:
    record, evidence = stored.record, stored.evidence
    logits = None if evidence is None else evidence.logits
    if record.attack is None or record.threat_model is None:
        return
    norm = parse_norm(record.threat_model.norm)
    n_classes = LARGEST_COUNT if logits is None else logits.shape[1]
    for name, given in record.attack.parameters.items():
        row, field = COMPONENTS.get(name), f"attack.parameters.{name}"
        if name == TRANSFER and asks(name) and not _names_evidence(given):
            expected = "evidence, a sha256 of each source"
            yield Problem(level, stored.path, field, shown(dict(given)), expected)
        if row is not None and asks(name):
            for part, found, expected in _of_component(row, given, norm, n_classes):
                yield Problem(level, stored.path, f"{field}{part}", found, expected)


def _of_component(
    row: ComponentRow, given: Mapping[str, Parameter], norm: NormName, n_classes: int
) -> Iterator[_Wrong]:
    """Yield what is wrong with the parameters of a component, read as a user would type them."""
    options = {
        name: option
        for name, option in row.options().items()
        if name in given and norm in (option.norms or row.norms)
    }
    typed: dict[str, Parameter] = {}
    for name, option in options.items():
        value, wanted = read_value(str(given[name]), option)
        if value is None:
            yield f".{name}", shown(given[name]), wanted
            return
        typed[name] = value
    try:
        settled = row.parameters(norm, n_classes, typed)
    except BadValueError as error:
        yield "", shown(dict(given)), str(error)
        return
    for name in sorted({*given, *settled}):
        had, has = (repr(values.get(name)) for values in (given, settled))  # tells 5 from 5.0
        if had != has:
            found, expected = ("none" if one == "None" else one for one in (had, has))
            yield f".{name}", cut(found), cut(expected)


def _names_evidence(given: Mapping[str, Parameter]) -> bool:
    """Say whether these are parameters of ``transfer``; sources of 0.1 have no hash."""
    return [*given] == ["evidence"] and bool(_HASHES.fullmatch(str(given["evidence"])))
