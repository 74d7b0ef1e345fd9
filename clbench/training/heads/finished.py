"""What a folder holds before a head is fitted in it: the same one, another run, or nothing."""

from pathlib import Path

from clbench.schema.dataclass_io import from_table, to_table
from clbench.schema.errors import BadValueError, ClbenchError
from clbench.schema.head import ENTRY
from clbench.schema.imported import ENTRY as IMPORTED
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import RECORD, WEIGHTS, check_file, read_record
from clbench.training.heads.recipe import HeadRecipe
from clbench.training.images import TrainingImages


def seed_folder(out: Path, seed: int) -> Path:
    """Return the folder of a seed."""
    return out / f"seed-{seed}"


def check_seeds(out: Path, n: int) -> None:
    """Check that no more seeds are there than are asked for: those left out would be chosen away.

    Raises:
        BadValueError: There are more.
    """
    there = n
    while (seed_folder(out, there) / ENTRY).is_file():
        there += 1
    if there > n:
        raise BadValueError(
            f"{out} holds {there} seeds, got --seeds {n}; give --seeds {there}, or another --out"
        )


def check_out(out: Path) -> None:
    """Check that seeds may have folders in ``out``: that it is no folder of a model itself.

    Raises:
        BadValueError: It is.
    """
    for name in (RECORD, ENTRY, IMPORTED, WEIGHTS):
        if (out / name).exists():
            raise BadValueError(
                f"{out} holds another run, {name}; choose another --out: each seed gets a folder "
                "in it"
            )


def finished_head(
    folder: Path, recipe: HeadRecipe, images: TrainingImages
) -> TrainingRecord | None:
    """Return the record of such a head where it is finished in ``folder``, else None.

    Raises:
        BadValueError: The folder holds another run.
        RecordError: Its record or its weights were damaged.
    """
    record = read_record(folder)
    if record is None:
        if (folder / IMPORTED).exists():
            raise _other(folder, "an imported model")
        return None
    try:
        found = from_table(HeadRecipe, record.recipe, "recipe")
    except ClbenchError:
        raise _other(folder, f"{record.model} (seed {record.seed})") from None
    theirs, ours = to_table(found), to_table(recipe)
    other = [key for key, value in ours.items() if theirs.get(key) != value]
    sets = ((record.data_sha256, images.train), (record.validation_sha256, images.validation))
    other += ["images"] * any(sha256 != one.sha256 for sha256, one in sets)
    if other:
        what = f"{record.model} (seed {record.seed}) with another {' and '.join(other)}"
        raise _other(folder, what)
    check_file(folder, WEIGHTS, record.weights_sha256)
    return record if (folder / ENTRY).is_file() else None


def _other(folder: Path, what: str) -> BadValueError:
    return BadValueError(
        f"{folder} holds {what}; choose another --out, or replace it with --restart"
    )
