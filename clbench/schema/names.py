"""The vocabulary: norms, schemes, scenarios and data sets, and how a mistyped name is met."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar, get_args

from clbench.schema.errors import UnknownNameError
from clbench.schema.text import shown

NormName = Literal["Linf", "L2", "L1"]
RobustBenchThreatModel = Literal["Linf", "L2", "corruptions", "corruptions_3d"]
"""Its tables of models; there are no models of corruptions_3d alone, those of corruptions stand."""
Scheme = Literal["simclr", "supcon", "supervised"]
Scenario = Literal["st", "at", "partial_at", "full_at"]
Precision = Literal["float32", "bfloat16"]
PrecisionChoice = Literal["auto", "float32", "bfloat16"]
EvidenceKind = Literal["verdicts", "sample", "full"]

NORM_NAMES: tuple[NormName, ...] = get_args(NormName)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)
"""What evidence holds, the least first: verdicts alone, or the images too that certify some or all
of those that an attack broke."""

T = TypeVar("T")

_LONGEST = 200
"""No name is longer; comparing takes long."""


_MEANT = {
    "unbiased": "debiased",
    "aa": "autoattack",
    "apgd": "apgd-ce",
    "cifar": "cifar10",
    "mnist": "digits",
    **{dataset: f"{dataset}-linf" for dataset in ("digits", "cifar10", "cifar100")},
}
"""What names that are no slips of the pen are used for; where they are known, they stand."""

_MOST_LISTED = 8
"""Of the names of a table, where none is near."""

_LISTED_BY = {
    "attack": "attacks",
    "measure": "measures",
    "model": "models",
    "protocol": "protocols",
}
"""Which command lists the names of a table."""


def spelled(name: str, known: Iterable[str]) -> str:
    """Return a known name as it is written there, also where capitals differ; others as they are.

    >>> spelled("SimCLR_AT", ["simclr_at", "supcon_at"]), spelled("other", ["simclr_at"])
    ('simclr_at', 'other')
    """
    names = list(known)
    alike = [one for one in names if one.casefold() == name.casefold()]
    return alike[0] if name not in names and len(alike) == 1 else name


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was most likely meant to be, or None.

    What stands behind a colon may be meant alone.

    >>> closest("simclr_att", ["simclr_at", "supcon_at"]), closest("fgsm", ["torchattacks:FGSM"])
    ('simclr_at', 'torchattacks:FGSM')
    """
    low = name[:_LONGEST].lower()
    names = list(known)
    spellings = {one.lower().rpartition(":")[2]: one for one in names}
    spellings |= {one.lower(): one for one in names}
    if _MEANT.get(low) in spellings:
        return spellings[_MEANT[low]]
    near = difflib.get_close_matches(low, list(spellings), n=1, cutoff=0.6)
    return spellings[near[0]] if near else None


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return the row of ``table`` called ``name``, in capitals or not.

    Raises:
        UnknownNameError: No such row; the message suggests the nearest name, or lists them.
    """
    known = spelled(name, table)
    if known in table:
        return table[known]
    raise unknown(name, table, what)


def read_evidence_kind(text: str) -> EvidenceKind:
    """Return which evidence a text names, in capitals or not.

    Raises:
        UnknownNameError: There is no such.
    """
    return look_up({kind: kind for kind in EVIDENCE_KINDS}, text, "kind of evidence")


def unknown(name: str, known: Iterable[str], what: str) -> UnknownNameError:
    """Return the error that says ``name`` is no ``what``, with the nearest known name."""
    names = list(known)
    near = closest(name, names)
    if near:
        hint = f"did you mean {near!r}?"
    elif len(names) <= _MOST_LISTED:
        hint = f"known: {', '.join(sorted(names))}"
    elif what in _LISTED_BY:
        hint = f"clbench {_LISTED_BY[what]} lists them"
    else:
        hint = f"known: {', '.join(sorted(names)[:_MOST_LISTED])}, ..."
    return UnknownNameError(f"unknown {what} {shown(name)}; {hint}")
