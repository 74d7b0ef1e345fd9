"""The vocabulary: norms, schemes, scenarios and data sets, and how a mistyped name is met."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar, get_args

from clbench.schema.errors import UnknownNameError

NormName = Literal["Linf", "L2", "L1"]
Scheme = Literal["simclr", "supcon", "supervised"]
Scenario = Literal["st", "at", "partial_at", "full_at"]

NORM_NAMES: tuple[NormName, ...] = get_args(NormName)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

T = TypeVar("T")


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was most likely meant to be, or None.

    >>> closest("simclr_att", ["simclr_at", "supcon_at"])
    'simclr_at'
    """
    spellings = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), list(spellings), n=1, cutoff=0.6)
    return spellings[near[0]] if near else None


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return the row of ``table`` called ``name``.

    Raises:
        UnknownNameError: No such row; the message suggests the nearest name, or lists them all.
    """
    if name in table:
        return table[name]
    raise unknown(name, table, what)


def unknown(name: str, known: Iterable[str], what: str) -> UnknownNameError:
    """Return the error that says ``name`` is no ``what``, with the nearest known name."""
    names = list(known)
    near = closest(name, names)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(names))}"
    return UnknownNameError(f"unknown {what} {name!r}; {hint}")
