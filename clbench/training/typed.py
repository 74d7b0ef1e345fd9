"""Frozen dataclasses from plain tables, every field checked."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up, unknown
from clbench.schema.threat_model import parse_eps

T = TypeVar("T")


def build(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Return a frozen dataclass from a table, every field checked.

    Raises:
        UnknownNameError: A field that ``kind`` has not; the message suggests the nearest.
        BadValueError: A field is missing, of another type, or outside its range.
    """
    hints = get_type_hints(kind)
    for key in table:
        if key not in hints:
            raise unknown(key, hints, f"field of {where}")
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).rpartition(": ")[2]
        raise BadValueError(f"{where} lacks the field {missing}") from error


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any field
    if get_origin(kind) is UnionType:
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    if is_dataclass(kind) and isinstance(kind, type):
        return build(kind, expect(dict, value, where), where)
    if get_origin(kind) is Literal:
        return look_up({one: one for one in get_args(kind)}, str(value), where)
    if kind is Fraction:
        return parse_eps(expect(str, value, where))
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and not math.isfinite(expect(float, value, where)):
        raise BadValueError(f"{where} must be a finite number, got {value!r}")
    return expect(kind, value, where)


_SPOKEN: dict[type, str] = {
    dict: "a table",
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def expect(kind: type[T], value: Any, where: str) -> T:  # noqa: ANN401 - what a file holds
    """Return ``value`` if it is of this type, which no subtype is.

    Raises:
        BadValueError: It is of another one.
    """
    if type(value) is not kind:
        wanted = _SPOKEN[kind]
        raise BadValueError(f"{where} must be {wanted}, got {value!r}")
    return value
