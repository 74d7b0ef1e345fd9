"""The pretrained backbone of a run: kept with what it was trained on, and reused by another run."""

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.data.near_duplicates import Thumbnails, near, thumbnails
from clbench.models import CifarResNet, save_weights
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.files import write_atomically
from clbench.schema.training_record import BACKBONE, TrainingRecord
from clbench.training.artifacts import PICTURES, REMEDY, check_file, read_record
from clbench.training.finished import recipe_of
from clbench.training.recipe import Recipe

_SAME = 1.0
"""Thumbnails of one picture are no further apart, in grey levels, when they are rounded."""

_RARE = 0.01
"""Of a data set, so many pictures are near duplicates by chance: second shots of one scene."""


def keep_backbone(network: CifarResNet, out: Path, images: ImageSet, source: Path | None) -> None:
    """Write the backbone and thumbnails of what it was trained on: ``images``, or as in ``source``.

    Raises:
        StorageError: The folder cannot be written.
    """
    pictures = out / PICTURES
    if source is None:
        small = thumbnails(images.images).round().to(torch.uint8)
        write_atomically(pictures, safetensors.torch.save({"thumbnails": small}))
    elif (source / PICTURES).exists():
        write_atomically(pictures, (source / PICTURES).read_bytes())
    else:
        pictures.unlink(missing_ok=True)
    backbone = {key: value for key, value in network.state_dict().items() if key[:3] != "fc."}
    save_weights(backbone, out / BACKBONE, half=False)


def pretrained_run(folder: Path, recipe: Recipe, out: Path) -> TrainingRecord:
    """Return the record of the finished run in ``folder``, whose pretraining the recipe wants.

    Raises:
        BadValueError: There is none, it was pretrained otherwise, or it would be overwritten.
        RecordError: Its record or its backbone was damaged.
    """
    if recipe.finetuning is None:
        raise BadValueError(f"{recipe.full_name} is trained in one phase, so --from has no use")
    record = _read_run(folder)
    if folder.resolve() == out.resolve():
        raise BadValueError(f"--from and --out are both {str(folder)!r}; choose another --out")
    trained = recipe_of(record)
    if trained is None or trained.pretraining != recipe.pretraining:
        raise BadValueError(
            f"{folder} holds {record.model}, which was pretrained otherwise than "
            f"{recipe.full_name} is; train it without --from"
        )
    if (trained.backbone, trained.dataset) != (recipe.backbone, recipe.dataset):
        raise BadValueError(
            f"{folder} holds a {trained.backbone} for {trained.dataset}, {recipe.full_name} is a "
            f"{recipe.backbone} for {recipe.dataset}; train it without --from"
        )
    for name in (BACKBONE, PICTURES):
        if name in record.artifacts:
            check_file(folder, name, record.artifacts[name])
    return record


def _read_run(folder: Path) -> TrainingRecord:
    if folder.is_file():
        raise BadValueError(
            f"--from must be the folder of a finished training, got the file {str(folder)!r}; "
            f"give {str(folder.parent)!r}"
        )
    record = read_record(folder)
    if record is None:
        raise BadValueError(f"{folder} holds no finished training, nothing to pretrain from")
    return record


def unseen_notes(
    folder: Path, record: TrainingRecord, images: ImageSet, validation: ImageSet
) -> list[str]:
    """Return notes on the images of a reused backbone; none of them may be validated with.

    Args:
        folder: Of the run that is reused.
        record: Of that run.
        images: What the new run trains on, none of which is among ``validation``.
        validation: What it validates with.

    Raises:
        BadValueError: The backbone was trained on validation images.
        RecordError: The thumbnails of its images cannot be read.
    """
    if (record.pretrained_sha256 or record.data_sha256) == images.sha256:
        return []
    name = repr(folder.resolve().name)
    # warm-ups are those of this recipe too
    notes = [f"backbone of {name}: {one}" for one in record.notes if "warm-up" not in one]
    known = _read_pictures(folder)
    if known is None:
        old = f"the backbone of {name} was trained on other images, by an older clbench"
        return [*notes, f"{old}: whether validation images are among them is not known"]
    small = thumbnails(validation.images)
    seen = int(near(small, known).sum())
    if seen > _RARE * len(validation) or near(small, known, rms_max=_SAME).any():
        raise BadValueError(
            f"the backbone of {folder} was trained on {seen} of the {len(validation)} validation "
            "images, or near duplicates; give it the same --data, or train without --from"
        )
    few = f"{seen} of {len(validation)} validation images are near duplicates of images that"
    return [
        *notes,
        *([f"{few} the backbone of {name} was trained on"] if seen else []),
    ]


def _read_pictures(folder: Path) -> Thumbnails | None:
    path = folder / PICTURES
    if not path.exists():
        return None
    try:
        small: Tensor = safetensors.torch.load_file(path)["thumbnails"]
    except (OSError, SafetensorError, KeyError) as error:
        raise RecordError(f"{path} cannot be read; {REMEDY}") from error
    return small.to(torch.float32)
