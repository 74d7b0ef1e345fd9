"""What the measures and flags of a record can be, whatever happened."""

import math
from collections.abc import Iterator, Mapping

from clbench.schema.corruptions import ACCURACY, CORRUPTED, RELATIVE, of_corruption
from clbench.schema.estimate import Estimate
from clbench.schema.flags import FLAGS, SQUARE_IMPROVES, TRANSFER_IMPROVES, RaisedFlag
from clbench.schema.records import left_after
from clbench.schema.text import shown
from clbench.verification.findings import FILES, Problem, Stored, is_of_this_version

_ROUNDING = 1e-6
"""Sums in another order may differ by so much."""

_FOLLOW = ("clean_acc", "robust_acc", left_after(""))
"""How names of measures begin that follow from evidence; these have no reason."""

_COMPARED = ("value", "low", "high", "n")

_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys((*_FOLLOW, "probe_", ACCURACY, of_corruption("")), (0.0, 1.0)),
    RELATIVE: (0.0, math.inf),
    "cka_": (-1.0, 1.0),
}
"""What measures can be, by how their names begin."""

_MISSING = ((), ("low", "high"), ("value", "low", "high"))
"""What may be undefined together."""

_COMPUTED = (SQUARE_IMPROVES, TRANSFER_IMPROVES)
"""Flags whose threshold depends on the number of examples, which evidence tells."""


def of_measures(stored: Stored) -> Iterator[Problem]:
    """Yield measures that are outside of their range, or of their own interval.

    The numbers of those that evidence gives are compared with it.
    """
    for number, one in enumerate(stored.record.measures):
        field = f"measures.{one.name}" if one.name else f"measures[{number}]"
        if one.name.startswith((ACCURACY, RELATIVE)) and stored.record.data.name not in CORRUPTED:
            expected = f"none on {stored.record.data.name}, which is no set of corrupted images"
            yield Problem(FILES, stored.path, field, "there", expected)
        compared = stored.evidence is not None and one.name.startswith(_FOLLOW)
        for part, found, expected in _of_measure(one, stored.record.data.n):
            if part not in _COMPARED or not compared:
                yield Problem(FILES, stored.path, f"{field}.{part}", found, expected)


def _of_measure(one: Estimate, n: int) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a measure: its part, what that is, what it has to be.

    Comparisons with NaN are false: what is undefined is neither outside nor on the wrong side.
    """
    ranges = (ends for begin, ends in _RANGES.items() if one.name.startswith(begin))
    least, most = next(ranges, (-math.inf, math.inf))
    numbers = {"value": one.value, "low": one.low, "high": one.high}
    for part, number in numbers.items():
        if number < least - _ROUNDING or number > most + _ROUNDING:
            yield part, f"{number:.6g}", f"from {least:.6g} to {most:.6g}"
    missing = tuple(part for part, number in numbers.items() if math.isnan(number))
    needs_none = not one.reason or not one.name.startswith(_FOLLOW)
    reasoned = bool(one.reason.strip()) if missing else needs_none
    below, above = one.value - _ROUNDING, one.value + _ROUNDING
    for part, holds, found, expected in (
        ("name", one.name.strip() == one.name != "", one.name, "a name, no spaces around it"),
        ("n", one.n == n, one.n, f"{n}, the examples"),
        ("low", not one.low > above, one.low, f"the value, {one.value}, or less"),
        ("high", not one.high < below, one.high, f"the value, {one.value}, or more"),
        ("value", missing in _MISSING, one.value, "a number where both ends are, and both or none"),
        ("reason", reasoned, one.reason, "why there is no number" if missing else "''"),
    ):
        if not holds:
            yield part, shown(found), expected


def of_flags(stored: Stored) -> Iterator[Problem]:
    """Yield flags that nothing could have raised."""
    record, names = stored.record, stored.record.flag_names
    ours = is_of_this_version(record)
    for number, flag in enumerate(record.flags):
        for part, holds, found, expected in (
            ("", flag.name not in names[:number], "there twice", "once"),
            ("", flag.name in FLAGS or not ours, "raised", "a flag that there is"),
            *_of_values(flag, ours=ours),
        ):
            if not holds:
                field = f"flags.{flag.name}" if flag.name else f"flags[{number}]"
                yield Problem(FILES, stored.path, f"{field}{part}", found, expected)


def _of_values(flag: RaisedFlag, *, ours: bool) -> Iterator[tuple[str, bool, str, str]]:
    """Yield what the number of a flag has to be, and whether it is.

    Records of older versions, and those made of them, have flags without numbers.
    """
    row, value, threshold = FLAGS.get(flag.name), flag.value, flag.threshold
    has_one = value is not None or threshold is not None
    if row is None or not has_one:
        return
    if value is None or threshold is None or not row.unit:
        wanted = "two numbers, or none" if row.unit else "no number, as it is so or is not"
        yield "", False, f"{value} above {threshold}", wanted
        return
    beyond = value.is_integer() and value > threshold
    yield ".value", beyond, str(value), f"a whole number above {threshold}"
    is_free = flag.name in _COMPUTED or not ours
    yield ".threshold", is_free or threshold == row.threshold, str(threshold), str(row.threshold)
