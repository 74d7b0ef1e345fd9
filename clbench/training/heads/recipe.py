"""Recipes of classifiers on encoders: read, changed field by field, and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clbench.runtime.precision import AUTO
from clbench.schema.dataclass_io import checksum_of, from_table, to_table
from clbench.schema.errors import BadValueError
from clbench.schema.head import METHODS, HeadMethod
from clbench.schema.names import PrecisionChoice
from clbench.schema.protocol import config_dir
from clbench.training.recipe import Criterion, Phase, Validation, check_seed
from clbench.training.recipe_changes import change, eps_as_text
from clbench.training.recipe_file import load_table
from clbench.training.scenario import Part

PHASE = "finetuning"
"""The only phase of a head."""


class _Means(NamedTuple):
    """What a protocol trains, and whether against an adversary."""

    trains: Part
    adversarial: bool


_MEANING: dict[HeadMethod, _Means] = {
    "slf": _Means("classifier", adversarial=False),
    "alf": _Means("classifier", adversarial=True),
    "aff": _Means("everything", adversarial=True),
}


@dataclass(frozen=True)
class HeadRecipe:
    """All that decides the weights of a head, but for its training images.

    Attributes:
        method: The protocol.
        encoder: The sha256 of the encoder's state.
        data: What it is fitted on.
        seed: Of this one.
        criterion: Which validation accuracy chooses between epochs.
        validation: The attack on validation images.
        finetuning: How it is fitted.
        precision: Of the arithmetic.
    """

    method: HeadMethod
    encoder: str
    data: str
    seed: int
    criterion: Criterion
    validation: Validation
    finetuning: Phase
    precision: PrecisionChoice = "float32"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        means, phase = _MEANING[self.method], self.finetuning
        found = _Means(phase.trains, adversarial=phase.adversary is not None)
        if phase.projected or found != means:
            raise BadValueError(
                f"{self.method} is {METHODS[self.method]}: it trains {means.trains!r} "
                f"{'against an adversary' if means.adversarial else 'on clean images'}, got "
                f"trains = {phase.trains!r} and loss {phase.loss!r} "
                f"{'with' if phase.adversary else 'without'} an adversary"
            )

    @property
    def full_name(self) -> str:
        """How messages call it."""
        return f"{self.method} of seed {self.seed}"

    @property
    def phases(self) -> dict[str, Phase]:
        """Its phase, by name."""
        return {PHASE: self.finetuning}

    @property
    def sha256(self) -> str:
        """What tells this recipe from others, whatever its seed."""
        assert self.precision != AUTO, "a recipe that is trained says its precision"
        table = to_table(self, defaults=False)
        return checksum_of({key: value for key, value in table.items() if key != "seed"})


@dataclass(frozen=True)
class _HeadFile:
    about: str
    criterion: Criterion
    validation: dict[str, Any]
    finetuning: dict[str, Any]
    precision: str = AUTO


def read_head_recipe(
    method: HeadMethod,
    *,
    encoder: str,
    data: str,
    dataset: str | None = None,
    seed: int = 0,
    file: str | None = None,
    changes: Mapping[str, str] | None = None,
) -> HeadRecipe:
    """Return the recipe of a head.

    Args:
        method: The protocol.
        encoder: The sha256 of the encoder's state.
        data: What it is fitted on.
        dataset: The data set that this is of, which may have settings of its own.
        seed: Of the head.
        file: A recipe file of the user's own, which ends in ``.toml``.
        changes: Values as text by their field, such as ``finetuning.epochs``.

    Raises:
        BadValueError: There is no such file, a field is missing or ill-typed, or the settings are
            not those of the protocol.
        UnknownNameError: A field that there is not.
    """
    if "seed" in (changes or {}):
        raise BadValueError("the seeds of a head are 0, 1, ...; give their number with --seeds")
    path = _shipped(method, dataset) if file is None else Path(file)
    if path.suffix != ".toml":
        raise BadValueError(f"--recipe must be a file that ends in .toml, got {file!r}")
    read = from_table(_HeadFile, load_table(path), path.name)
    whole: dict[str, Any] = {
        PHASE: read.finetuning,
        "validation": read.validation,
        "precision": read.precision,
    }
    whole = change(whole, changes or {}, method)
    own = {"method": method, "encoder": encoder, "data": data, "criterion": read.criterion}
    return from_table(HeadRecipe, {**eps_as_text(whole), **own, "seed": seed}, "recipe")


def _shipped(method: HeadMethod, dataset: str | None) -> Path:
    """Return the file of a protocol for a data set, or for any where it has none of its own."""
    folder = config_dir() / "head"
    own = folder / f"{method}-{dataset}.toml"
    return own if dataset and own.is_file() else folder / f"{method}.toml"
