"""From a recipe to weights: both phases, validation, and the files of a run."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from clbench.data.image_set import ImageSet
from clbench.models import load_weights, save_weights
from clbench.runtime.devices import find_device
from clbench.schema.names import PrecisionChoice
from clbench.schema.paths import AnyPath, AnyPaths, as_path, as_paths, path_or_none
from clbench.schema.protocol import read_seed
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import WEIGHTS, hashes, read_record, write_record
from clbench.training.backbone import pretrained_run, unseen_notes
from clbench.training.card import write_card
from clbench.training.checkpoint import discard_checkpoint
from clbench.training.devices import make_fabric
from clbench.training.finished import check_images, finished_run, source_of
from clbench.training.images import NOT_COMPARED, at_hand, training_images
from clbench.training.notes import warmup_notes
from clbench.training.phases import Job
from clbench.training.precision import settled, tell_of_precision
from clbench.training.preflight import check_fits
from clbench.training.reached import training_record
from clbench.training.recipe import Recipe
from clbench.training.recipe_file import DEFAULT, read_recipe
from clbench.training.training import Training
from clbench.training.under_way import OnEpoch, OnStart

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A finished training; ``new`` is False where it had been finished before."""

    record: TrainingRecord
    out: Path
    new: bool


def train(
    name: str,
    *,
    out: AnyPath,
    dataset: str = "digits",
    recipe: str = DEFAULT,
    changes: Mapping[str, str] | None = None,
    data: AnyPaths = (),
    data_dir: AnyPath | None = None,
    download: bool = False,
    pretrained: AnyPath | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: PrecisionChoice | None = None,
    restart: bool = False,
    on_start: OnStart | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train a model by its recipe; write weights, log, curves and model card into ``out``.

    A training that was stopped goes on where it stood, and reaches the same weights on a CPU.

    Args:
        name: A name of the zoo, such as "simclr_at", or another one that the recipe file has.
        out: The folder of the run.
        dataset: What to train on: a name of ``DATASETS``.
        recipe: default, paper, narrow, or a recipe file.
        changes: Fields of the recipe and their values as text, such as "finetuning.epochs".
        data: Files of images to train on, instead of the data set's; see ``training_files``.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.
        pretrained: The folder of a finished run whose pretrained backbone is reused.
        seed: Instead of the recipe's.
        device: auto, cpu, cuda or cuda:N.
        precision: Of the arithmetic, instead of the recipe's; "auto" takes bfloat16 where the
            device has instructions for it. Weights are updated in float32.
        restart: Whether to train from the beginning where a run is.
        on_start: Told what is about to be trained, and what has been already.
        on_epoch: Told every epoch.

    Raises:
        ClbenchError: Anything that the user can mend; nothing that was finished is lost.
    """
    folder, changed = as_path("out", out), changes or {}
    files, source = as_paths("data", data), path_or_none("pretrained", pretrained)
    archives = path_or_none("data_dir", data_dir)
    seed = None if seed is None else read_seed(seed)
    as_read = read_recipe(name, dataset, seed, recipe_name=recipe, changes=changed)
    asked = as_read if precision is None else replace(as_read, precision=precision)
    place = find_device(device)
    wanted = settled(asked, place, folder=None if restart else folder)
    if source is not None:
        pretrained_run(source, wanted, folder)
    finished = (
        None if restart else finished_run(folder, wanted, pretrained=source, own_images=bool(files))
    )
    if finished is not None and not (files or at_hand(dataset, archives)):
        return Trained(finished, folder, new=False)  # a public archive is always the same
    fabric = make_fabric(device, wanted.precision)
    images = training_images(dataset, files, data_dir=archives, download=download)
    images = replace(images, validation=_validated(wanted, images.validation))
    if finished is not None:
        check_images(folder, finished, images)
        return Trained(finished, folder, new=False)
    tell_of_precision(asked.precision, wanted, images.train, place)
    record = train_recipe(
        *(wanted, folder, images.train, images.validation),
        fabric=fabric,
        pretrained=source,
        restart=restart,
        on_start=on_start,
        on_epoch=on_epoch,
        about={
            "command": _command(
                wanted,
                recipe_name=recipe,
                changes=changed,
                as_read=as_read.precision,
                files=files,
                pretrained=source,
            ),
            "files": tuple(path.name for path in files),
            "notes": images.notes,
            "test_images": images.test_images,
        },
    )
    return Trained(record, folder, new=True)


def train_recipe(
    recipe: Recipe,
    out: Path,
    images: ImageSet,
    validation: ImageSet,
    *,
    fabric: Fabric,
    pretrained: Path | None = None,
    restart: bool = False,
    on_start: OnStart | None = None,
    on_epoch: OnEpoch | None = None,
    about: Mapping[str, Any] | None = None,
) -> TrainingRecord:
    """Train by ``recipe`` on the images given; see ``train``.

    ``about`` are fields of the record that tell where the images come from.
    """
    validation = _validated(recipe, validation)
    check_fits(recipe, images, processes=fabric.world_size)
    reused = None if pretrained is None else pretrained_run(pretrained, recipe, out)
    notes = warmup_notes(recipe)
    if reused is not None and pretrained is not None:
        notes += unseen_notes(pretrained, reused, images, validation)
    for note in notes:
        _LOGGER.warning(note)
    if restart:
        discard_checkpoint(out)
    job = Job(
        train=images,
        validation=validation,
        attack=recipe.validation,
        criterion=recipe.criterion,
        seed=recipe.seed,
        fabric=fabric,
    )
    training = Training(
        recipe, out, job, pretrained=pretrained, on_start=on_start, on_epoch=on_epoch
    )
    network = training.run()
    if fabric.is_global_zero:
        save_weights(network, out / WEIGHTS, about=_about(recipe))
        sha256 = load_weights(network, out / WEIGHTS)  # the figures are those of this file
        record = training_record(
            recipe.full_name,
            *(recipe, job, network),
            selected=training.selected,
            seconds=training.seconds,
            weights_sha256=sha256,
        )
        record = replace(record, **_reused(pretrained, reused), **(about or {}))
        record = replace(
            record, notes=(*record.notes, *notes), test_images=_test_images(record, reused)
        )
        write_card(out, recipe, record)
        write_record(out, replace(record, artifacts=hashes(out)))
        discard_checkpoint(out)
    fabric.barrier()
    return _read_finished(out)


def _validated(recipe: Recipe, images: ImageSet) -> ImageSet:
    """Return those of the validation images that the recipe uses."""
    n = recipe.validation.examples
    return images.head(min(n, len(images))) if n else images


def _test_images(record: TrainingRecord, reused: TrainingRecord | None) -> str:
    """Return what is known of test images among those of a training, its backbone's included."""
    own = record.test_images or NOT_COMPARED
    if reused is None or record.pretrained_sha256 == record.data_sha256:
        return own
    return f"{own}; with those of the backbone: {reused.test_images or NOT_COMPARED}"


def _reused(folder: Path | None, run: TrainingRecord | None) -> dict[str, Any]:
    """Return what a record tells of a reused backbone: who trained it in the first place."""
    if folder is None or run is None:
        return {}
    return {
        "pretrained_from": folder.resolve().name,
        "pretrained_on": source_of(run),
        "pretrained_seed": run.seed if run.pretrained_seed is None else run.pretrained_seed,
        "pretrained_sha256": run.pretrained_sha256 or run.data_sha256,
    }


def _about(recipe: Recipe) -> dict[str, str]:
    """Return what a weights file tells of its training."""
    return {
        "backbone": recipe.backbone,
        "model": recipe.full_name,
        "scheme": recipe.scheme,
        "scenario": recipe.scenario,
        "dataset": recipe.dataset,
        "training_seed": str(recipe.seed),
        "recipe_sha256": recipe.sha256,
    }


def _command(
    recipe: Recipe,
    *,
    recipe_name: str,
    changes: Mapping[str, str],
    as_read: PrecisionChoice,
    files: Sequence[Path],
    pretrained: Path | None,
) -> str:
    """Return the command that trains it again; places of files are the user's own affair.

    The precision stands in it where the recipe file has another one, or leaves it to the device.
    """
    options = [
        *([("--recipe", recipe_name)] if recipe_name != DEFAULT else []),
        *(("--set", f"{field}={text}") for field, text in changes.items()),
        *([("--precision", recipe.precision)] if recipe.precision != as_read else []),
        *(("--data", path.name) for path in files),
        *([("--from", pretrained.resolve().name)] if pretrained else []),
        *(("--seed", str(recipe.seed)), ("--out", "DIR")),
    ]
    words = ("clbench", "train", recipe.name, "--dataset", recipe.dataset, *chain(*options))
    return shlex.join(words)


def _read_finished(out: Path) -> TrainingRecord:
    record = read_record(out)
    assert record is not None, "the first process writes the record before it lets others go on"
    return record
