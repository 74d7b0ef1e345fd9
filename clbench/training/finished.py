"""A finished training that is asked for again: the same one, or another in its folder."""

from pathlib import Path

from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError, ClbenchError
from clbench.schema.files import sha256_of_file
from clbench.schema.training_record import BACKBONE, TrainingRecord
from clbench.training.artifacts import WEIGHTS, check_file, read_record
from clbench.training.images import TrainingImages
from clbench.training.recipe import Recipe


def finished_run(
    out: Path, recipe: Recipe, *, pretrained: Path | None, own_images: bool
) -> TrainingRecord | None:
    """Return the record of such a training where it is finished in ``out``, else None.

    Of which images exactly is seen by ``check_images``.

    Args:
        out: The folder of the run.
        recipe: What it must have been trained by, its seed included.
        pretrained: The folder whose backbone it must have been trained on, or None.
        own_images: Whether it must be of files of the user's own, not of a public data set.

    Raises:
        BadValueError: ``out`` holds another training.
        RecordError: Its record or its weights were damaged.
    """
    record = read_record(out)
    if record is None:
        return None
    if recipe_of(record) != recipe:
        raise _other_run(out, record, "by another recipe")
    if own_images is not bool(record.files):
        raise _other_run(out, record, "of other images")
    if not _same_backbone(record, pretrained):
        source = f"pretrained in {record.pretrained_from}" if record.pretrained_from else "whole"
        raise _other_run(out, record, f"with another --from ({source})")
    check_file(out, WEIGHTS, record.weights_sha256)
    return record


def check_images(out: Path, record: TrainingRecord, found: TrainingImages) -> None:
    """Check that a finished training is of these images, by what they show and how it is labelled.

    Raises:
        BadValueError: It is of others.
    """
    if record.data_sha256 != found.train.sha256:
        raise _other_run(out, record, "of other images")
    # older records do not tell what they were validated with
    if record.validation_sha256 not in ("", found.validation.sha256):
        raise _other_run(out, record, "validated with other images")


def recipe_of(record: TrainingRecord) -> Recipe | None:
    """Return the recipe of a finished run, or None where this clbench has no such recipes."""
    try:
        return from_table(Recipe, record.recipe, "recipe")
    except ClbenchError:
        return None


def source_of(record: TrainingRecord) -> str:
    """Return which images a network was trained on."""
    files = " and ".join(record.files) or f"{record.recipe.get('dataset')}, the public archive"
    return record.pretrained_on or files


def _same_backbone(record: TrainingRecord, pretrained: Path | None) -> bool:
    """Return whether a finished training has the backbone of ``pretrained``, wherever that is."""
    if pretrained is None:
        return not record.pretrained_from
    kept = record.artifacts.get(BACKBONE)
    if kept is None:  # an older record
        return record.pretrained_from == pretrained.resolve().name
    return kept == sha256_of_file(pretrained / BACKBONE)


def _other_run(out: Path, record: TrainingRecord, what: str) -> BadValueError:
    return BadValueError(
        f"{out} holds {record.model} (seed {record.seed}) {what}; choose another --out, or replace "
        "it with --restart"
    )
