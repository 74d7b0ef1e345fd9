"""The recipe file of a data set: read, resolved and checked field by field."""

import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from clbench.errors import BadValueError
from clbench.models import find_spec
from clbench.names import DATASETS, look_up, unknown
from clbench.protocol import config_dir
from clbench.threat import parse_eps
from clbench.train.recipe import Phase, Recipe, Validation

T = TypeVar("T")


class _File(NamedTuple):
    """A recipe file: its phases, by a name of their own, and which of them make which model."""

    path: Path
    about: str
    seed: int
    validation: Validation
    phases: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, str]]


def read_recipe(name: str, dataset: str, seed: int | None = None) -> Recipe:
    """Return the recipe of a zoo model.

    Args:
        name: A name of the zoo, with or without its tag.
        dataset: A name of ``DATASETS``.
        seed: Instead of the file's own.

    Raises:
        UnknownNameError: No such model, or a field or phase in the file that there is not.
        BadValueError: There is no recipe for the data set, or a field is missing or ill-typed.
    """
    look_up(DATASETS, dataset, "dataset")
    spec = find_spec(name, dataset)
    file = _read(config_dir() / "train" / f"default-{spec.dataset}.toml")
    chosen = look_up(file.models, spec.name, f"recipe of {file.path.name}")
    for key in chosen:
        look_up(dict.fromkeys(("pretraining", "finetuning")), key, f"phase of {spec.name}")
    built = {key: _phase(file, row) for key, row in chosen.items()}
    if "pretraining" not in built:
        raise BadValueError(f"field 'pretraining' of {spec.name} is missing in {file.path.name}")
    return Recipe(
        scheme=spec.scheme,
        scenario=spec.scenario,
        dataset=spec.dataset,
        backbone=spec.backbone,
        seed=file.seed if seed is None else seed,
        validation=file.validation,
        pretraining=built["pretraining"],
        finetuning=built.get("finetuning"),
    )


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
        return build(kind, _expect(dict, value, where), where)
    if get_origin(kind) is Literal:
        return look_up({one: one for one in get_args(kind)}, str(value), where)
    if kind is Fraction:
        return parse_eps(_expect(str, value, where))
    if kind is float and type(value) is int:
        return float(value)
    return _expect(kind, value, where)


_SPOKEN: dict[type, str] = {
    dict: "a table",
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
}


def _expect(kind: type[T], value: Any, where: str) -> T:  # noqa: ANN401 - what a file holds
    if type(value) is not kind:
        wanted = _SPOKEN[kind]
        raise BadValueError(f"{where} must be {wanted}, got {value!r}")
    return value


def _read(path: Path) -> _File:
    if not path.exists():
        known = sorted(file.stem.removeprefix("default-") for file in path.parent.glob("*.toml"))
        wanted = path.stem.removeprefix("default-")
        raise BadValueError(f"there is no recipe for {wanted!r} yet; known: {', '.join(known)}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadValueError(f"recipe {path} is no TOML: {error}") from error
    for key in table:
        look_up(dict.fromkeys(_File._fields[1:]), key, f"field of {path.name}")
    for key in _File._fields[1:]:
        if key not in table:
            raise BadValueError(f"field {key!r} is missing in {path.name}")
    return _File(
        path,
        _expect(str, table["about"], "about"),
        _expect(int, table["seed"], "seed"),
        build(Validation, _expect(dict, table["validation"], "validation"), "validation"),
        _expect(dict, table["phases"], "phases"),
        _expect(dict, table["models"], "models"),
    )


def _phase(file: _File, name: str) -> Phase:
    return build(Phase, _resolve(file, name, ()), f"phases.{name}")


def _resolve(file: _File, name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """Return the table of a phase, with what it takes over from the one it is ``like``."""
    if name in seen:
        raise BadValueError(f"phases {' and '.join(seen)} of {file.path.name} are like each other")
    own = dict(_expect(dict, look_up(file.phases, name, f"phase of {file.path.name}"), name))
    like = own.pop("like", None)
    return own if like is None else _merge(_resolve(file, like, (*seen, name)), own)


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
