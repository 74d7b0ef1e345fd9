"""From a recipe to weights: both phases, validation, and the files of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

from clbench.attacks.guard import randomness
from clbench.data import EvalSet, training_set
from clbench.errors import BadValueError
from clbench.models import CifarResNet, build_backbone, load_weights, save_weights
from clbench.models.device import device_name, find_device
from clbench.provenance import commit, utc_now, versions
from clbench.train.phases import Epoch, Job, accuracy, run_phase
from clbench.train.recipe import Recipe, to_table
from clbench.train.recipe_file import read_recipe
from clbench.train.run_folder import (
    BACKBONE,
    WEIGHTS,
    Summary,
    discard_summary,
    read_summary,
    write_card,
    write_log,
    write_summary,
)

Precision = Literal["float32", "bfloat16"]

_FABRIC_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True)
class Trained:
    """A finished training; ``new`` is False where it had been finished before."""

    summary: Summary
    out: Path
    new: bool


def train(
    name: str,
    dataset: str,
    out: Path,
    *,
    seed: int | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    data_dir: Path | None = None,
    download: bool = False,
    pretrained: Path | None = None,
    restart: bool = False,
    on_start: Callable[[Recipe], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a zoo model by its recipe and write its files into ``out``.

    Args:
        name: A name of the zoo, such as ``simclr_at``.
        dataset: A name of ``DATASETS``.
        out: The folder of the run.
        seed: Instead of the recipe's own.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of the arithmetic; weights are updated in float32.
        data_dir: The folder that holds the data set's own folder.
        download: Whether to fetch a data set that is not there.
        pretrained: The folder of a finished run whose pretrained backbone is reused.
        restart: Train again where ``out`` holds a finished run.
        on_start: Told the recipe before training begins.
        on_epoch: Told every epoch.

    Raises:
        ClbenchError: Anything that the user can mend; nothing that was finished is lost.
    """
    recipe = read_recipe(name, dataset, seed)
    finished = None if restart else _finished(out, recipe)
    if finished is not None:
        return Trained(finished, out, new=False)
    fabric = make_fabric(device, precision)
    if on_start is not None:
        on_start(recipe)
    summary = train_recipe(
        recipe,
        out,
        training_set(dataset, "train", data_dir=data_dir, download=download),
        training_set(dataset, "validation", data_dir=data_dir, download=download),
        fabric=fabric,
        precision=precision,
        pretrained=pretrained,
        on_epoch=on_epoch,
    )
    return Trained(summary, out, new=True)


def train_recipe(
    recipe: Recipe,
    out: Path,
    train_images: EvalSet,
    validation_images: EvalSet,
    *,
    fabric: Fabric,
    precision: Precision = "float32",
    pretrained: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Summary:
    """Train by ``recipe`` on the images given; see ``train``."""
    began, rows = time.perf_counter(), list[Epoch]()

    def note(row: Epoch) -> None:
        rows.append(row)
        write_log(out, rows)
        if on_epoch is not None:
            on_epoch(row)

    if pretrained is not None:
        _check_pretraining(pretrained, recipe)
    discard_summary(out)
    write_log(out, rows)  # an unwritable folder is told of at once
    job = Job(
        name=recipe.full_name,
        train=train_images,
        validation=validation_images,
        attack=recipe.validation,
        criterion=recipe.criterion,
        seed=recipe.seed,
        fabric=fabric,
        on_epoch=note,
    )
    network = new_network(recipe, train_images)
    selected = _run_phases(network, recipe, job, out, pretrained)
    seconds = time.perf_counter() - began
    save_weights(network, out / WEIGHTS)
    weights_sha256 = load_weights(network, out / WEIGHTS)  # the figures are those of this file
    summary = Summary(
        model=recipe.full_name,
        seed=recipe.seed,
        recipe=to_table(recipe),
        selected=selected,
        n_train=len(train_images),
        n_validation=len(validation_images),
        clean_acc=accuracy(network, validation_images, None, device=fabric.device),
        robust_acc=accuracy(network, validation_images, job.attack, device=fabric.device),
        seconds=round(seconds, 1),
        device=device_name(fabric.device),
        precision=precision,
        threads=torch.get_num_threads(),
        pretrained_from="" if pretrained is None else pretrained.name,
        weights_sha256=weights_sha256,
        versions=versions("lightning-fabric"),
        commit=commit(),
        created=utc_now(),
    )
    write_card(out, recipe, summary)
    write_summary(out, summary)
    return summary


def _run_phases(
    network: CifarResNet, recipe: Recipe, job: Job, out: Path, pretrained: Path | None
) -> dict[str, int]:
    """Train ``network`` and return the epoch kept of each phase that was run."""
    selected: dict[str, int] = {}
    for name, phase in recipe.phases.items():
        if name == "pretraining" and pretrained is not None:
            network.reset_classifier(0)
            load_weights(network, pretrained / BACKBONE)
        else:
            selected[name] = run_phase(network, name, phase, job)
        if name == "pretraining":
            backbone = {key: v for key, v in network.state_dict().items() if key[:3] != "fc."}
            save_weights(backbone, out / BACKBONE, half=False)
    return selected


def new_network(recipe: Recipe, images: EvalSet) -> CifarResNet:
    """Return the network of a recipe for such images, its weights drawn from the recipe's seed."""
    with randomness(recipe.seed):
        return build_backbone(
            recipe.backbone, in_chans=images.images.shape[1], num_classes=images.n_classes
        )


def make_fabric(device: str, precision: Precision) -> Fabric:
    """Return the device and precision to train with.

    Raises:
        BadValueError: No such device on this machine.
    """
    found = find_device(device)
    return Fabric(
        accelerator=found.type,
        devices=[found.index or 0] if found.type == "cuda" else 1,
        precision=_FABRIC_PRECISION[precision],
    )


def _finished(out: Path, recipe: Recipe) -> Summary | None:
    """Return the summary of the same training where it is finished in ``out``."""
    summary = read_summary(out)
    if summary is not None and summary.recipe != to_table(recipe):
        raise BadValueError(
            f"{out} holds {summary.model} (seed {summary.seed}) by another recipe; choose another "
            "--out, or replace it with --restart"
        )
    return summary


def _check_pretraining(folder: Path, recipe: Recipe) -> None:
    """Check that ``folder`` holds a finished run with the pretraining that the recipe wants."""
    summary = read_summary(folder)
    if summary is None:
        raise BadValueError(f"{folder} holds no finished training, nothing to pretrain from")
    if recipe.finetuning is None:
        raise BadValueError(f"{recipe.full_name} is trained in one phase, so --from has no use")
    if summary.recipe["pretraining"] != to_table(recipe.pretraining):
        raise BadValueError(
            f"{folder} holds {summary.model}, which was pretrained otherwise than "
            f"{recipe.full_name} is; train it without --from"
        )
