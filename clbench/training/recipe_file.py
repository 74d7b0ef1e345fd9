"""Recipe files: found, resolved, changed field by field, and checked."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.data.datasets import DATASETS
from clbench.runtime.precision import AUTO
from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.protocol import config_dir
from clbench.training.recipe import Recipe
from clbench.training.recipe_changes import COMMON, PHASES, change, eps_as_text

DEFAULT = "default"


@dataclass(frozen=True)
class _RecipeFile:
    """A recipe file: its phases, by a name of their own, and which of them make which model.

    ``precision`` is left to the device unless the file names one.
    """

    about: str
    backbone: str
    seed: int
    validation: dict[str, Any]
    phases: dict[str, dict[str, Any]]
    models: dict[str, dict[str, str]]
    precision: str = AUTO


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
    path = _find(recipe_name, dataset)
    file = _read(path)
    stem, _, tag = name.partition(".")
    if tag and tag != dataset:
        raise BadValueError(f"model {name!r} is of {tag}, but the data set is {dataset}")
    row = dict(look_up(file.models, stem, f"model of {path.name}"))
    scheme, scenario = row.pop("scheme", ""), row.pop("scenario", "")
    for key in row:
        look_up(dict.fromkeys(PHASES), key, f"phase of {stem}")
    whole: dict[str, Any] = {name: getattr(file, name) for name in COMMON}
    whole |= {key: _resolve(file.phases, name, path.name) for key, name in row.items()}
    whole = change(whole, changes or {}, stem)
    if seed is not None:
        whole["seed"] = seed
    if "pretraining" not in whole:
        raise BadValueError(f"field 'pretraining' of {stem} is missing in {path.name}")
    parsed_scheme, _, parsed_scenario = stem.partition("_")
    return from_table(
        Recipe,
        {
            **eps_as_text(whole),
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


def load_table(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a file holds, with what it takes over from the neighbour that it is ``like``."""
    if path in seen:
        names = " and ".join(one.name for one in seen)
        raise BadValueError(f"recipe files {names} are like each other")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadValueError(f"recipe '{path}' does not exist") from error
    except OSError as error:
        raise BadValueError(f"recipe '{path}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"recipe {path} is no TOML: {error}") from error
    like = table.pop("like", None)
    if like is None:
        return table
    neighbour = path.parent / f"{from_table(str, like, f'like of {path.name}')}.toml"
    return _merge(load_table(neighbour, (*seen, path)), table)


def _read(path: Path) -> _RecipeFile:
    return from_table(_RecipeFile, load_table(path), path.name)


def _resolve(
    phases: Mapping[str, Mapping[str, Any]], name: str, file: str, seen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the table of a phase, with what it takes over from the one it is ``like``."""
    if name in seen:
        raise BadValueError(f"phases {' and '.join(seen)} of {file} are like each other")
    own = dict(look_up(phases, name, f"phase of {file}"))
    like = own.pop("like", None)
    if like is None:
        return own
    like = from_table(str, like, f"like of {name}")
    return _merge(_resolve(phases, like, file, (*seen, name)), own)


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
