"""What a text such as ``pgd,steps=40 + square`` asks for; reading it loads no torch."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import PurePath

from clbench.attacks import own, pgd_row
from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.autoattack_rows import CASCADES as OF_AUTOATTACK
from clbench.attacks.fast_and_best import CASCADES as OF_OURS
from clbench.attacks.fast_and_best import FAST, FINISHED, OURS
from clbench.attacks.rows import CascadeRow, ComponentRow
from clbench.attacks.torchattacks_rows import PREFIX, REFUSED, TORCHATTACKS
from clbench.runtime.user_code import is_own
from clbench.schema.attack_spec import (
    TRANSFER,
    AttackSpec,
    Component,
    Option,
    Parameter,
    read_options,
)
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName, spelled, unknown
from clbench.schema.protocol import DEFAULT_PROTOCOL, Protocol, find_protocol, resolve
from clbench.schema.text import shown
from clbench.schema.threat_model import parse_norm

NATIVE_ROWS: tuple[ComponentRow, ...] = (*OURS, pgd_row.ROW)
"""What there is to know of clbench's own attacks; their code is in ``native/``."""

COMPONENTS: dict[str, ComponentRow] = {
    row.name: row for row in (*AUTOATTACK, *NATIVE_ROWS, *TORCHATTACKS)
}
"""Every attack that can be a component of another one, or stand alone."""

CASCADES: dict[str, CascadeRow] = {**OF_AUTOATTACK, **OF_OURS}
"""Every attack that has a name for several components."""

ATTACKS: dict[str, str] = {
    **{row.name: row.about for row in CASCADES.values()},
    **{row.name: row.about for row in COMPONENTS.values()},
}
"""Every attack that can be named, and what it is."""

BACKEND_NAMES = ("auto", "native", "autoattack", "pyautoattack", "torchattacks", "own", "clbench")
"""What ``--backend`` takes; ``clbench`` is what version 0.1 called ``native``."""

_OF_PACKAGE = {row.name for row in AUTOATTACK}
_OF_NATIVE = {row.name for row in NATIVE_ROWS} | {TRANSFER}

JOIN = " + "
"""Between the components of a cascade of a user's own."""

_MOST_NAMED = 4
"""Of the attacks that cover a norm."""

_JOINED = re.compile(r"\s*\+\s*")
_JOINED_FILES = re.compile(r"\s+\+\s+")
"""Names of files may have a plus sign in them."""

_ALIASES = {"standard": "autoattack", "plus": "autoattack-plus", "rand": "autoattack-rand"}
"""Versions of AutoAttack as its own class calls them."""


def read_attack(text: str, norm: NormName, n_classes: int) -> AttackSpec:
    """Return what ``text`` asks for: ``NAME[,key=value...]``, or several of these with plus signs.

    Several are a cascade: each attacks the images that those before it did not break.

    Args:
        text: Names in ``ATTACKS``, in capitals or not; ones that packages registered under
            ``clbench.attacks``; or ``FILE.py:NAME``. Options not given have their defaults.
        norm: The norm of the threat model.
        n_classes: How many classes the network tells apart; it limits targeted attacks.

    Raises:
        UnknownNameError: An attack or option that there is not.
        BadValueError: A value of the wrong type or range, a norm that an attack does not cover,
            too few classes, or a component that is there twice.
    """
    parts = [_spec(part, norm, n_classes) for part in _parts_of(text)]
    if len(parts) == 1:
        return parts[0]
    components = tuple(one for part in parts for one in part.components)
    _check_once([one.name for one in components], text)
    flags = tuple(dict.fromkeys(flag for part in parts for flag in part.flags))
    return AttackSpec(JOIN.join(part.name for part in parts), components, flags)


def check_attack(text: str, norm: NormName | None = None) -> None:
    """Find what is wrong with a text before anything is loaded: names, norm, and plain options.

    Raises:
        UnknownNameError: As ``read_attack``.
        BadValueError: Likewise; what depends on classes or on code of others is left to it.
    """
    names: list[str] = []
    for part in _parts_of(text):
        name, options = _split(part)
        names += _components_of(name)
        if is_own(name, own.ENTRY_POINT_GROUP):
            continue
        if name.startswith(PREFIX):
            component_row(name)  # its options would load the package
        else:
            read_options(name, options, options_of(name))
    _check_once([_without_folder(name) for name in names], text)
    for part in _parts_of(text) if norm else ():
        name, options = _split(part)
        if not is_own(name, own.ENTRY_POINT_GROUP):
            _check_norm(name, norm)
        if name in ATTACKS and not name.startswith(PREFIX):
            _check_options(name, read_options(name, options, options_of(name)), norm)


def settle(
    name: str | None,
    *,
    own_data: bool,
    norm: str | None = None,
    eps: str | Fraction | None = None,
    attack: str | None = None,
    n_examples: int | None = None,
    seed: int | None = None,
) -> Protocol:
    """Return what ``resolve`` returns, whose attack can be and covers its norm.

    That an attack does not cover a norm is told before an eps is asked for.

    Raises:
        ClbenchError: As ``resolve`` and ``check_attack``.
    """
    wanted = attack or find_protocol(name or DEFAULT_PROTOCOL).attack
    check_attack(wanted, parse_norm(norm) if norm else None)
    settled = resolve(
        name,
        own_data=own_data,
        norm=norm,
        eps=eps,
        attack=attack,
        n_examples=n_examples,
        seed=seed,
    )
    check_attack(settled.attack, settled.threat_model.norm)
    return settled


def finishing(attack: str | None) -> str:
    """Return the attack that goes on from a first look.

    Raises:
        BadValueError: Another one was asked for.
    """
    named = None if attack is None else "+".join(_parts_of(attack)).casefold()
    if named in (None, FAST, FINISHED) or _ALIASES.get(named, named) == "autoattack":
        return FINISHED
    raise BadValueError(
        f"--finish goes on from {FAST} with autoattack, got --attack {shown(attack)}; "
        "leave one of them out"
    )


def component_row(name: str) -> ComponentRow:
    """Return the row of a component: of the table, or of code of the user's own.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest.
        BadValueError: The user's code is no attack.
    """
    if is_own(name, own.ENTRY_POINT_GROUP):
        return own.row(name)
    if name not in COMPONENTS:
        raise unknown(name, ATTACKS, "attack")
    return COMPONENTS[name]


def runners_of(name: str) -> tuple[str, ...]:
    """Return the backends that have a component, by its name alone."""
    if name in _OF_PACKAGE:
        return ("native", "autoattack", "pyautoattack")
    if name in _OF_NATIVE:
        return ("native",)
    return ("torchattacks",) if name.startswith(PREFIX) else ("own",)


def norms_of(name: str) -> tuple[NormName, ...]:
    """Return the norms that all components of an attack cover."""
    rows = [component_row(part) for part in _components_of(name)]
    return tuple(norm for norm in rows[0].norms if all(norm in row.norms for row in rows))


def options_of(name: str) -> Mapping[str, Option]:
    """Return the options of an attack; the parameters of a cascade are fixed."""
    return {} if name in CASCADES else component_row(name).options()


def _parts_of(text: str) -> list[str]:
    joined = _JOINED_FILES if ".py:" in text else _JOINED
    parts = joined.split(text.strip())
    if "" in parts:
        raise BadValueError(
            f"--attack must read like 'apgd-ce,n_iter=50 + square', got {shown(text)}"
        )
    whole = "+".join(parts).casefold()
    return [whole] if whole in CASCADES else parts


def _split(part: str) -> tuple[str, Sequence[str]]:
    """Return an attack's name as tables have it, and its options."""
    typed, *options = (one.strip() for one in part.split(","))
    name = typed
    if not is_own(typed, own.ENTRY_POINT_GROUP):
        name = spelled(_ALIASES.get(typed.casefold(), typed), ATTACKS)
    bare = name.removeprefix(PREFIX)
    if bare != name and spelled(bare, REFUSED) in REFUSED:
        raise BadValueError(f"attack {name!r} is refused: {REFUSED[spelled(bare, REFUSED)]}")
    return name, options


def _components_of(name: str) -> list[str]:
    return CASCADES[name].names if name in CASCADES else [name]


def _check_once(names: Sequence[str], text: str) -> None:
    """Check that no component is there twice: verdicts are told by their names."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadValueError(
            f"a cascade has each attack once, got {twice[0]!r} twice in {shown(text)}; "
            "give it more restarts instead"
        )


def _spec(part: str, norm: NormName, n_classes: int) -> AttackSpec:
    name, options = _split(part)
    values = read_options(name, options, options_of(name))
    _check_norm(name, norm)
    _check_options(name, values, norm)
    if name not in CASCADES:
        component = _component(name, norm, n_classes, values)
        return AttackSpec(component.name, (component,))
    wanted = CASCADES[name].components[norm]
    possible = [one for one in wanted if n_classes >= COMPONENTS[one[0]].least_classes]
    components = tuple(_component(one, norm, n_classes, given) for one, given in possible)
    fewer = ("few_classes",) if len(possible) < len(wanted) else ()
    return AttackSpec(name, components, (*CASCADES[name].flags, *fewer))


def _check_norm(name: str, norm: NormName | None) -> None:
    covered = norms_of(name)
    if norm not in covered:
        others = [one for one in ATTACKS if norm in norms_of(one)]
        raise BadValueError(
            f"attack {name!r} covers {' and '.join(covered)} only, got {norm}; "
            f"{norm} is covered by {', '.join(others[:_MOST_NAMED])}"
        )


def _check_options(name: str, values: Mapping[str, Parameter], norm: NormName | None) -> None:
    """Check that no option is given that would do nothing."""
    options = options_of(name)
    for key in values:
        if options[key].norms and norm not in options[key].norms:
            raise BadValueError(
                f"option {key!r} of attack {name!r} does something in "
                f"{' and '.join(options[key].norms)} only, got {norm}; leave it out"
            )


def _component(
    name: str, norm: NormName, n_classes: int, values: Mapping[str, Parameter]
) -> Component:
    row = component_row(name)
    if n_classes < row.least_classes:
        raise BadValueError(
            f"attack {name!r} needs at least {row.least_classes} classes, got {n_classes}"
        )
    parameters = row.parameters(norm, n_classes, values)
    short = _without_folder(name)
    return Component(short, parameters, typed="" if short == name else name)


def _without_folder(name: str) -> str:
    """Return the name of an attack without the folder of its file; its hash tells its content."""
    file, sign, attack = name.rpartition(".py:")
    return f"{PurePath(file).name}{sign}{attack}" if sign else name
