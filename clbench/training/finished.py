"""Finished trainings: the one that is asked for again, and one whose backbone is reused."""

from collections.abc import Sequence
from pathlib import Path

from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError, ClbenchError
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import BACKBONE, WEIGHTS, check_file, read_record
from clbench.training.recipe import Recipe


def finished_run(out: Path, recipe: Recipe, files: Sequence[Path]) -> TrainingRecord | None:
    """Return the record of the same training where it is finished in ``out``, else None.

    Raises:
        BadValueError: ``out`` holds another training.
        RecordError: Its record or its weights were damaged.
    """
    record = read_record(out)
    if record is None:
        return None
    other = [
        *(["by another recipe"] if _recipe_of(record) != recipe else []),
        *(["of other images"] if list(record.files) != [path.name for path in files] else []),
    ]
    if other:
        raise other_run(out, record, *other)
    check_file(out, WEIGHTS, record.weights_sha256)
    return record


def other_run(out: Path, record: TrainingRecord, *what: str) -> BadValueError:
    """Return the error that says what is other about the training in ``out``."""
    return BadValueError(
        f"{out} holds {record.model} (seed {record.seed}) {' and '.join(what)}; choose another "
        "--out, or replace it with --restart"
    )


def pretrained_run(folder: Path, recipe: Recipe) -> TrainingRecord:
    """Return the record of the finished run in ``folder``, whose pretraining the recipe wants.

    Raises:
        BadValueError: There is none, or it was pretrained otherwise.
        RecordError: Its record or its backbone was damaged.
    """
    record = read_record(folder)
    if record is None:
        raise BadValueError(f"{folder} holds no finished training, nothing to pretrain from")
    if recipe.finetuning is None:
        raise BadValueError(f"{recipe.full_name} is trained in one phase, so --from has no use")
    trained = _recipe_of(record)
    if trained is None or trained.pretraining != recipe.pretraining:
        raise BadValueError(
            f"{folder} holds {record.model}, which was pretrained otherwise than "
            f"{recipe.full_name} is; train it without --from"
        )
    if BACKBONE in record.artifacts:
        check_file(folder, BACKBONE, record.artifacts[BACKBONE])
    return record


def _recipe_of(record: TrainingRecord) -> Recipe | None:
    """Return the recipe of a finished run, or None where this clbench has no such recipes."""
    try:
        return from_table(Recipe, record.recipe, "recipe")
    except ClbenchError:
        return None


def source_of(record: TrainingRecord) -> str:
    """Return which images a network was trained on."""
    files = " and ".join(record.files) or f"{record.recipe.get('dataset')}, the public archive"
    return record.pretrained_on or files
