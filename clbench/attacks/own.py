"""Attacks of a user's own: ``FILE.py:NAME``, or registered under ``clbench.attacks``.

An attack is a callable of the shape of ``Attack``. A dataclass with such a ``__call__`` has its
fields as options. It may have the attributes ``norms``, ``bounded`` and ``black_box``; without them
it covers every norm, is bounded, and uses gradients. Its results belong to batches.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, cast

from clbench.attacks.rows import ComponentRow
from clbench.runtime.user_code import UserObject, fingerprint, load_own
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.errors import BadValueError
from clbench.schema.names import NORM_NAMES, NormName

ENTRY_POINT_GROUP = "clbench.attacks"
"""Where other packages register a name for an attack of theirs."""

SOURCE = "source"
"""The parameter that tells an attack from the same one after an edit."""


def load(name: str) -> UserObject:
    """Return an attack of a user's own.

    Raises:
        BadValueError: It cannot be imported, or is no attack.
    """
    return _loaded(name, fingerprint(name))


@cache
def _loaded(name: str, _fingerprint: tuple[str, ...]) -> UserObject:
    """Return an attack, whose source names all files that it is made of."""
    what = f"attack '{name}'"
    found = load_own(what, name, ENTRY_POINT_GROUP, BadValueError)
    if not callable(found.value):
        kind = type(found.value).__name__
        raise BadValueError(f"{what} must be a function or a dataclass that attacks, got {kind}")
    if found.code is None:
        return found
    described = {one: f"{one} sha256:{of[:12]}" for one, of in found.code.files().items()}
    described.pop(found.code.file.name, None)  # it is named already
    return found._replace(source=", ".join((found.source, *described.values())))


def row(name: str) -> ComponentRow:
    """Return what there is to know of an attack of a user's own.

    Raises:
        BadValueError: It cannot be imported, or is no attack.
    """
    found = load(name)
    return ComponentRow(
        name=name,
        about=_first_line(found.value),
        norms=tuple(getattr(found.value, "norms", NORM_NAMES)),
        options=partial(_options, found.value),
        parameters=partial(_effective, found),
        bounded=bool(getattr(found.value, "bounded", True)),
        black_box=bool(getattr(found.value, "black_box", False)),
        is_guessed=True,
    )


def _options(attack: Any) -> dict[str, Option]:  # noqa: ANN401 - whatever the user named
    if not dataclasses.is_dataclass(attack):
        return {}
    defaults = {field.name: field.default for field in dataclasses.fields(attack)}
    if wrong := [name for name, value in defaults.items() if not isinstance(value, Parameter)]:
        raise BadValueError(
            f"options of an attack must have a default that is a number, a word or true or false, "
            f"{wrong[0]!r} has none"
        )
    return {name: Option(cast("Parameter", value)) for name, value in defaults.items()}


def _effective(
    found: UserObject, _norm: NormName, _n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    defaults = {key: option.default for key, option in _options(found.value).items()}
    return {**defaults, **given, SOURCE: found.source}


def _first_line(attack: Any) -> str:  # noqa: ANN401 - whatever the user named
    return (attack.__doc__ or "").strip().partition("\n")[0]
