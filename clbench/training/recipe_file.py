"""Recipe files: found, resolved, changed field by field, and checked."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clbench.data.datasets import DATASETS
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.protocol import config_dir
from clbench.training.recipe import Recipe
from clbench.training.typed import build, expect

DEFAULT = "default"

_PHASES = ("pretraining", "finetuning")
_COMMON = ("backbone", "seed", "precision", "validation")
"""Fields of a recipe that a file has once, for all its models."""


class _File(NamedTuple):
    """A recipe file: its phases, by a name of their own, and which of them make which model."""

    path: Path
    common: Mapping[str, Any]
    phases: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, str]]


def read_recipe(
    name: str,
    dataset: str,
    seed: int | None = None,
    *,
    recipe_name: str = DEFAULT,
    changes: Mapping[str, str] | None = None,
) -> Recipe:
    """Return the recipe of a model.

    Args:
        name: A row of the file, such as ``simclr_at``, with or without the data set as its tag.
        dataset: A name of ``DATASETS``.
        seed: Instead of the file's own.
        recipe_name: ``NAME`` of the file ``NAME-DATASET.toml`` that comes with clbench, or the path
            of another one, which ends in ``.toml``.
        changes: Values as text by their field, such as ``finetuning.optimizer.lr``. The value
            ``none`` takes a field away.

    Raises:
        UnknownNameError: No such model, or a field or phase that there is not.
        BadValueError: There is no such recipe file, or a field is missing or ill-typed.
    """
    look_up(DATASETS, dataset, "dataset")
    file = _read(_find(recipe_name, dataset))
    stem, _, tag = name.partition(".")
    if tag and tag != dataset:
        raise BadValueError(f"model {name!r} is of {tag}, but the data set is {dataset}")
    row = dict(expect(dict, look_up(file.models, stem, f"model of {file.path.name}"), stem))
    scheme, scenario = row.pop("scheme", ""), row.pop("scenario", "")
    whole: dict[str, Any] = {**file.common, **_phases(file, stem, row)}
    for field, text in (changes or {}).items():
        look_up(dict.fromkeys((*_COMMON, *_PHASES)), field.partition(".")[0], "field of recipe")
        _change(whole, field, text)
    if seed is not None:
        whole["seed"] = seed
    if "pretraining" not in whole:
        raise BadValueError(f"field 'pretraining' of {stem} is missing in {file.path.name}")
    parsed_scheme, _, parsed_scenario = stem.partition("_")
    return build(
        Recipe,
        {
            **whole,
            "name": stem,
            "scheme": scheme or parsed_scheme,
            "scenario": scenario or parsed_scenario,
            "dataset": dataset,
        },
        "recipe",
    )


def recipe_names(dataset: str) -> list[str]:
    """Return the names of the recipe files that clbench has for a data set."""
    found = (config_dir() / "train").glob(f"*-{dataset}.toml")
    return sorted(path.stem.removesuffix(f"-{dataset}") for path in found)


def model_names(dataset: str, recipe_name: str = DEFAULT) -> list[str]:
    """Return the models that a recipe file can train."""
    return list(_read(_find(recipe_name, dataset)).models)


def _find(recipe_name: str, dataset: str) -> Path:
    if recipe_name.endswith(".toml"):
        return Path(recipe_name)
    known = recipe_names(dataset)
    if not known:
        raise BadValueError(
            f"there is no recipe for {dataset!r} yet; give a file of your own with --recipe"
        )
    look_up(dict.fromkeys(known), recipe_name, f"recipe of {dataset}")
    return config_dir() / "train" / f"{recipe_name}-{dataset}.toml"


def _load(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a file holds, with what it takes over from the neighbour that it is ``like``."""
    if path in seen:
        names = " and ".join(one.name for one in seen)
        raise BadValueError(f"recipe files {names} are like each other")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadValueError(f"recipe '{path}' does not exist") from error
    except ValueError as error:
        raise BadValueError(f"recipe {path} is no TOML: {error}") from error
    like = table.pop("like", None)
    if like is None:
        return table
    neighbour = path.parent / f"{expect(str, like, f'like of {path.name}')}.toml"
    return _merge(_load(neighbour, (*seen, path)), table)


def _read(path: Path) -> _File:
    table = _load(path)
    known = ("about", *_COMMON, "phases", "models")
    for key in table:
        look_up(dict.fromkeys(known), key, f"field of {path.name}")
    for key in known:
        if key not in table:
            raise BadValueError(f"field {key!r} is missing in {path.name}")
    return _File(
        path,
        {key: table[key] for key in _COMMON},
        expect(dict, table["phases"], "phases"),
        expect(dict, table["models"], "models"),
    )


def _phases(file: _File, model: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a model's phases."""
    for key in row:
        look_up(dict.fromkeys(_PHASES), key, f"phase of {model}")
    return {
        key: _resolve(file, expect(str, phase, f"{key} of {model}"), ())
        for key, phase in row.items()
    }


def _resolve(file: _File, name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """Return the table of a phase, with what it takes over from the one it is ``like``."""
    if name in seen:
        raise BadValueError(f"phases {' and '.join(seen)} of {file.path.name} are like each other")
    own = dict(expect(dict, look_up(file.phases, name, f"phase of {file.path.name}"), name))
    like = own.pop("like", None)
    if like is None:
        return own
    like = expect(str, like, f"like of {name}")
    return _merge(_resolve(file, like, (*seen, name)), own)


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _change(table: dict[str, Any], field: str, text: str) -> None:
    """Set one field of a table, in a copy of each table on the way."""
    head, _, rest = field.partition(".")
    if rest:
        inner = table.get(head, {})
        table[head] = dict(inner) if isinstance(inner, dict) else {}
        _change(table[head], rest, text)
    elif text == "none":
        table.pop(head, None)
    else:
        table[head] = _parse(text)


def _parse(text: str) -> Any:  # noqa: ANN401 - any value of TOML
    """Return what a value in TOML stands for; anything else stands for itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
