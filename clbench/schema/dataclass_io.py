"""Frozen dataclasses from tables of JSON and TOML, checked all the way down, and back.

The only place that reads or writes one: every field of a file has the type that its dataclass
says, or the file is refused by a line that names the field.

===================  ==================================================
in the dataclass     in the file
===================  ==================================================
``float``            a number; null, which JSON has, where it is NaN
``Fraction``         text such as ``"8/255"``
``tuple[T, ...]``    a list
``T | None = None``  left out where it is None; without a default, null
a dataclass          a table of its fields, in their order
===================  ==================================================
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from clbench.schema.dataclass_rules import build
from clbench.schema.errors import BadValueError, ClbenchError, RecordError
from clbench.schema.files import read_file, sha256_of
from clbench.schema.numbers import LARGEST
from clbench.schema.text import cut, shown
from clbench.schema.threat_model import format_eps

T = TypeVar("T")

_MOST_BYTES = 1 << 26
"""Of a JSON file; those that clbench writes have a few thousand."""

CHECKSUM = "checksum"
"""The last field of a file that tells whether it is as it was written."""


# tables


def from_table(kind: type[T], table: object, where: str) -> T:
    """Return the dataclass ``kind`` from a table of plain values, every field checked.

    Args:
        kind: A dataclass, whose ``__post_init__`` checks what types cannot say; or another type
            of a field.
        table: What a JSON or TOML file holds.
        where: How messages call the table, such as ``recipe``.

    Raises:
        UnknownNameError: A field that ``kind`` has not, or a value that is none of its choices;
            the message suggests the nearest.
        BadValueError: A field is missing, of another type, or outside its range.
    """
    made: T = build(kind, table, where)
    return made


def to_table(value: object, *, defaults: bool = True) -> Any:  # noqa: ANN401 - any plain value
    """Return a dataclass, or a part of one, as plain values that a file can hold.

    Numbers that are not finite become None. ``from_table`` is the inverse, but for infinity.
    Without ``defaults``, fields that have their default are left out.
    """
    part = partial(to_table, defaults=defaults)
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Fraction():
            return format_eps(value)
        case Mapping():
            return {key: part(item) for key, item in value.items()}
        case list() | tuple():
            return [part(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            rows = ((one.name, getattr(value, one.name), one.default) for one in fields(value))
            return {
                name: part(item)
                for name, item, default in rows
                if item != default or (defaults and item is not None)
            }
        case _:
            return value


# JSON


def to_json(value: object, *, checksum: bool = False) -> bytes:
    """Return a dataclass as a JSON file, its fields in their order.

    ``checksum`` adds a last field by which ``read_json`` finds out that a file was changed.
    """
    table = to_table(value)
    if checksum:
        table[CHECKSUM] = checksum_of(table)
    return f"{json.dumps(table, indent=1, allow_nan=False)}\n".encode()


def checksum_of(table: Mapping[str, object]) -> str:
    """Return a sha256 of what a table of JSON means, however it is laid out.

    A field ``checksum`` does not count.
    """
    content = {key: item for key, item in table.items() if key != CHECKSUM}
    return sha256_of(json.dumps(content, sort_keys=True, allow_nan=False).encode())


def parse_json(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a JSON file holds.

    Raises:
        BadValueError: It is no JSON, names a field twice, or holds a number beyond 64 bits, or
            beyond float64, or none; or it nests too deeply.
    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_distinct,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise BadValueError("it nests too deeply") from error
    except ValueError as error:
        raise BadValueError(str(error)) from error


def read_json(
    path: Path,
    kind: type[T],
    what: str,
    *,
    remedy: str,
    schema_versions: Collection[int] = (),
    checked_versions: Collection[int] = (),
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    whatever_checksum: bool = False,
) -> T:
    """Return the dataclass that a JSON file holds.

    Args:
        path: The file.
        kind: A dataclass.
        what: How messages call the file, such as ``record``.
        remedy: What a user can do about a damaged one, such as ``train again with --restart``.
        schema_versions: What the file's ``schema_version`` may be; empty if it has none.
        checked_versions: Those of them whose files must bear a checksum.
        upgrade: Makes of the table of an older version that of the newest.
        whatever_checksum: Whether a file that was changed since is read all the same.

    Raises:
        RecordError: The file is missing, cut off, of another version, changed since it was
            written, or does not hold what ``kind`` needs.
    """
    try:
        table = parse_json(read_file(path, _MOST_BYTES))
    except OSError as error:
        raise RecordError(f"{what} {path} cannot be read: {error.strerror}") from error
    except BadValueError as error:
        raise RecordError(
            f"{what} {path} is cut off or no JSON ({error}); move it away, or {remedy}"
        ) from error
    version = table.get("schema_version") if isinstance(table, dict) else None
    if schema_versions and version not in schema_versions:
        raise RecordError(
            f"{what} {path} has schema version {shown(version)}, this clbench reads "
            f"{' and '.join(map(str, sorted(schema_versions)))}; upgrade clbench, or {remedy}"
        )
    try:
        must = version in checked_versions
        if whatever_checksum and isinstance(table, dict):
            table.pop(CHECKSUM, None)
            must = False
        verified = _verified(table, what, must_be_checked=must)
        newest = upgrade(verified) if isinstance(verified, dict) else verified
        return from_table(kind, newest, what)
    except (ClbenchError, RecursionError) as error:
        raise RecordError(f"{what} {path} is damaged: {error}; {remedy}") from error


def _verified(table: Any, what: str, *, must_be_checked: bool) -> Any:  # noqa: ANN401 - any JSON value
    """Return a table without its checksum, which must be right where there is one."""
    if not isinstance(table, dict) or CHECKSUM not in table:
        if must_be_checked:
            raise BadValueError(f"{what} lacks {CHECKSUM}")
        return table
    if table[CHECKSUM] != checksum_of(table):
        raise BadValueError(
            f"{what} is not what its checksum was made of, so it was changed after it was written"
        )
    return {key: item for key, item in table.items() if key != CHECKSUM}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValueError(f"field {shown(twice)} is there twice")
    return table


def _no_number(text: str) -> NoReturn:
    raise BadValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadValueError(f"the number {cut(text)} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > len(str(-LARGEST)) or abs(int(text)) > LARGEST:
        raise BadValueError(f"the number {cut(text)} has more than 64 bits")
    return int(text)
