"""Single fields of a recipe, given as text, and what is meant where a name is nearly right."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from fractions import Fraction
from typing import Any

from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.names import closest, look_up
from clbench.training.adversary import Adversary
from clbench.training.augmentation import Views
from clbench.training.recipe import Optimizer, Phase, Validation

PHASES = ("pretraining", "finetuning")

COMMON = ("backbone", "seed", "precision", "validation")
"""Fields of a recipe that a file has once, for all its models."""

_TABLES: dict[str, type] = {
    **dict.fromkeys(PHASES, Phase),
    "validation": Validation,
    "optimizer": Optimizer,
    "views": Views,
    "adversary": Adversary,
}
"""Which fields are tables, and of what."""


def _with_fields(path: str) -> Iterator[str]:
    yield path
    kind = _TABLES.get(path.rpartition(".")[2])
    for field in fields(kind) if kind else ():
        yield from _with_fields(f"{path}.{field.name}")


_PATHS = tuple(path for name in (*COMMON, *PHASES) for path in _with_fields(name))
_OPTIONAL = ("finetuning", *(f"{phase}.adversary" for phase in PHASES))
"""Parts that a recipe may be without."""

_FIXED = ("name", "scheme", "scenario", "dataset")
"""Fields that say which recipe it is."""


def change(whole: Mapping[str, Any], changes: Mapping[str, str], model: str) -> dict[str, Any]:
    """Return the table of a recipe with some fields changed.

    Args:
        whole: The table; it stays as it is.
        changes: Values as text by their field, such as ``finetuning.optimizer.lr``. The value
            ``none`` takes a field away.
        model: How messages call the recipe.

    Raises:
        UnknownNameError: There is no such field; the message says where one of this name is.
        BadValueError: A field of a phase or an adversary that this recipe is without.
    """
    changed = dict(whole)
    for field, text in changes.items():
        _check_name(field, [name for name in PHASES if name in whole])
        _set(changed, field, text)
    for part in _OPTIONAL:
        if _at(whole, part) is None and (made := _at(changed, part)) is not None:
            _check_complete(part, made, whole, changes, model)
    return changed


def eps_as_text(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of recipes whose every ``eps`` is text, as a number is exact as it is written.

    >>> eps_as_text({"validation": {"eps": 0.03}})
    {'validation': {'eps': '3/100'}}
    """
    return {
        key: eps_as_text(value)
        if isinstance(value, dict)
        else _exactly(value)
        if key == "eps"
        else value
        for key, value in table.items()
    }


def _exactly(value: Any) -> Any:  # noqa: ANN401 - any value of TOML
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(Fraction(repr(value))) if number and math.isfinite(value) else value


def _check_name(field: str, phases: list[str]) -> None:
    """Check that there may be such a field; what only a table can tell is left to its reader."""
    head, dot, _ = field.partition(".")
    last = field.rpartition(".")[2]
    if field in _PATHS or head in _FIXED:
        look_up(dict.fromkeys((*COMMON, *PHASES)), head, "field of recipe")
        return
    names = {path.rpartition(".")[2] for path in _PATHS}
    meant = field if dot or last in names else closest(last, names) or field
    places = [path for path in _PATHS if path.partition(".")[0] in ("validation", *phases)]
    inside = f"{head}." if head in PHASES else ""
    tail = f".{last if inside else meant}"
    found = [path for path in places if path.startswith(inside) and path.endswith(tail)]
    if found:
        raise UnknownNameError(
            f"unknown field of recipe {field!r}; did you mean {' or '.join(map(repr, found))}?"
        )
    look_up(dict.fromkeys((*COMMON, *PHASES)), head, "field of recipe")


def _set(table: dict[str, Any], field: str, text: str) -> None:
    """Set one field of a table, in a copy of each table on the way."""
    head, _, rest = field.partition(".")
    if rest:
        inner = table.get(head, {})
        table[head] = dict(inner) if isinstance(inner, dict) else {}
        _set(table[head], rest, text)
    elif text == "none":
        table.pop(head, None)
    else:
        table[head] = _parse(text)


def _parse(text: str) -> Any:  # noqa: ANN401 - any value of TOML
    """Return what a value in TOML stands for; anything else stands for itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _at(table: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any value of TOML
    found: Any = table
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _check_complete(
    part: str, made: object, whole: Mapping[str, Any], changes: Mapping[str, str], model: str
) -> None:
    """Check that a part which was not there before has all that it needs."""
    kind = _TABLES[part.rpartition(".")[2]]
    needed = [f.name for f in fields(kind) if MISSING is f.default is f.default_factory]
    if not isinstance(made, Mapping) or all(name in made for name in needed):
        return
    phase, _, adversary = part.partition(".")
    field = next(field for field in changes if field.startswith(part))
    there = " and ".join(name for name in PHASES if name in whole)
    lacks = f"no adversary in {phase}" if adversary else f"no {phase} phase, only {there}"
    raise BadValueError(
        f"{model} has {lacks}, got {field}={changes[field]}; leave it out, or give the whole of it"
    )
