"""What pydantic checks of a dataclass made from a file, and how its errors read.

The only place that imports pydantic; ``dataclass_io`` is what the rest of clbench uses.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NoReturn

from pydantic import TypeAdapter
from pydantic_core import (
    CoreSchema,
    ErrorDetails,
    PydanticCustomError,
    SchemaValidator,
    ValidationError,
    core_schema,
)

from clbench.schema.errors import BadValueError, ClbenchError
from clbench.schema.names import unknown
from clbench.schema.numbers import LARGEST
from clbench.schema.text import cut, shown
from clbench.schema.threat_model import parse_eps


def build(kind: Any, table: object, where: str) -> Any:  # noqa: ANN401 - any dataclass
    """Return the dataclass ``kind`` from a table, every field checked; see ``from_table``."""
    try:
        return _validator(kind).validate_python(table)
    except ValidationError as error:
        _refuse(error.errors(include_url=False), where)


@cache
def _validator(kind: Any) -> SchemaValidator:  # noqa: ANN401 - any dataclass
    schema: CoreSchema = _strict(TypeAdapter(kind).core_schema)
    return SchemaValidator(schema)


_UNCHECKED = ("cls", "config", "default", "metadata", "serialization")
"""Parts of a schema that hold no other schema."""


def _strict(node: Any) -> Any:  # noqa: ANN401 - a schema, or a part of one
    """Return pydantic's schema with our rules, the table above, in the place of its own."""
    if isinstance(node, list):
        return [_strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    inner = {key: one if key in _UNCHECKED else _strict(one) for key, one in node.items()}
    rule = _RULES.get(str(node.get("type")))
    return rule(inner) if rule else inner


def _exactly(node: dict[str, Any], **more: object) -> dict[str, Any]:
    return {**node, "strict": True, **more}


def _number(node: dict[str, Any]) -> CoreSchema:
    strict: Any = _exactly(node, allow_inf_nan=False)
    return core_schema.no_info_wrap_validator_function(_null_is_nan, strict)


def _null_is_nan(value: object, check: Callable[[object], float]) -> float:
    return math.nan if value is None else check(value)


def _fraction(_node: dict[str, Any]) -> CoreSchema:
    text = core_schema.str_schema(strict=True)
    return core_schema.no_info_after_validator_function(parse_eps, text)


def _one_of(node: dict[str, Any]) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(partial(_choose, tuple(node["expected"])))


def _choose(known: tuple[str | int, ...], value: object) -> object:
    if any(value == one and type(value) is type(one) for one in known):  # True is no 1
        return value
    raise PydanticCustomError("unknown_name", "unknown", {"known": known})


def _fields(node: Any) -> CoreSchema:  # noqa: ANN401 - a schema, whose type is a union of all
    names = tuple(field["name"] for field in node["fields"])
    return core_schema.no_info_before_validator_function(partial(_known, names), node)


def _known(names: tuple[str, ...], table: Any) -> Any:  # noqa: ANN401 - any value
    for key in table if isinstance(table, dict) else ():
        if key not in names:
            raise PydanticCustomError("unknown_field", "unknown", {"known": names, "key": key})
    return table


def _either(node: Any) -> CoreSchema:  # noqa: ANN401 - a schema, whose type is a union of all
    """Return a union that fails as one, not once for each of its types."""
    return core_schema.custom_error_schema(node, "union_type", custom_error_message="none of them")


_RULES: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "str": _exactly,
    "bool": _exactly,
    "int": partial(_exactly, ge=-LARGEST, le=LARGEST),
    "float": _number,
    "fraction": _fraction,
    "literal": _one_of,
    "union": _either,
    "dataclass-args": _fields,
}

_WANTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than_equal": "a whole number of at most 64 bits",
    "less_than_equal": "a whole number of at most 64 bits",
    "union_type": "a number, text in quotes, or true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
}
"""What a value must be, by pydantic's name of the error."""


def _refuse(errors: Sequence[ErrorDetails], where: str) -> NoReturn:
    """Raise the first of pydantic's errors as one of ours."""
    first = errors[0]
    place, context = _place(where, first["loc"]), first.get("ctx", {})
    match first["type"]:
        case "unknown_field":
            raise unknown(context["key"], context["known"], f"field of {place}")
        case "unknown_name":
            raise unknown(cut(str(first["input"])), map(str, context["known"]), place)
        case "value_error":
            raise _ours(context["error"], place)
        case "missing":
            *table, _ = first["loc"]
            beside = (one["loc"] for one in errors if one["type"] == "missing")
            names = [str(name) for *parent, name in beside if parent == table]
            raise BadValueError(f"{_place(where, table)} lacks {', '.join(names)}")
        case other:
            wanted = _WANTED.get(other, first["msg"])
            raise BadValueError(f"{place} must be {wanted}, got {shown(first['input'])}")


def _ours(error: Exception, place: str) -> ClbenchError:
    return error if isinstance(error, ClbenchError) else BadValueError(f"{place}: {error}")


def _place(where: str, loc: Sequence[int | str]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return where + "".join(parts)
