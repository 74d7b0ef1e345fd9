"""The table of all zoo models; weights come from the manifest beside them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from clbench.data.datasets import DATASETS
from clbench.models.spec import ModelSpec, WeightsRow
from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError
from clbench.schema.names import SCENARIOS, Scenario, Scheme, look_up

WEIGHTS_DIR = Path(__file__).with_name("weights")
"""The folder of packaged weights, each with its model card, and of the manifest."""

_TRAININGS: dict[Scheme, tuple[Scenario, ...]] = {
    "simclr": SCENARIOS,
    "supcon": SCENARIOS,
    "supervised": ("st", "at"),  # one phase, so there is nothing to be partly adversarial
}
_BACKBONES = {"digits": "resnet18_w16", "cifar10": "resnet10_w16", "cifar100": "resnet18"}


def read_manifest(file: Path) -> dict[str, WeightsRow]:
    """Return the weights that a manifest lists, by the full name of their model."""
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {name: from_table(WeightsRow, table, name) for name, table in tables.items()}


def _rows(weights: Mapping[str, WeightsRow]) -> tuple[ModelSpec, ...]:
    return tuple(
        ModelSpec(
            scheme, scenario, dataset, backbone, weights.get(f"{scheme}_{scenario}.{dataset}")
        )
        for dataset, backbone in _BACKBONES.items()
        for scheme, scenarios in _TRAININGS.items()
        for scenario in scenarios
    )


ZOO: tuple[ModelSpec, ...] = _rows(read_manifest(WEIGHTS_DIR / "manifest.toml"))


def zoo_names() -> list[str]:
    """Return every name that a zoo model answers to, with and without its tag."""
    return [*dict.fromkeys(spec.name for spec in ZOO), *(spec.full_name for spec in ZOO)]


def find_spec(name: str, dataset: str | None) -> ModelSpec:
    """Return the row called ``name``; its tag defaults to ``dataset``.

    Args:
        name: ``scheme_scenario`` or ``scheme_scenario.tag``.
        dataset: What the model is to be run on; None, or a name that is no data set of the zoo,
            leaves the choice to the tag.

    Raises:
        UnknownNameError: No model has this name; the message suggests the nearest.
        BadValueError: The tag is of another data set, or it is missing and cannot be told.

    >>> find_spec("simclr_at", "cifar10").full_name
    'simclr_at.cifar10'
    """
    look_up(dict.fromkeys(zoo_names()), name, "model")
    stem, _, tag = name.partition(".")
    rows = {spec.dataset: spec for spec in ZOO if spec.name == stem}
    if tag and dataset in DATASETS and tag != dataset:
        raise BadValueError(
            f"model {name!r} is of {tag}, but the data is {dataset}; "
            f"use '{stem}.{dataset}', or a protocol of {tag}"
        )
    if not tag and dataset not in rows:
        choices = ", ".join(f"'{stem}.{known}'" for known in rows)
        raise BadValueError(f"model {name!r} needs a tag for this data, got none; use {choices}")
    return rows[tag or str(dataset)]
