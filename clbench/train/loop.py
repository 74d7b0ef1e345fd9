"""From a recipe to weights: both phases, validation, and the files of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

from clbench.attacks.guard import randomness
from clbench.data import EvalSet, training_set
from clbench.errors import BadValueError
from clbench.models import CifarResNet, build_backbone, load_weights, save_weights
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
    """A finished training; ``again`` is False where it had been finished before."""

    summary: Summary
    out: Path
    again: bool


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
        return Trained(finished, out, again=False)
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
    return Trained(summary, out, again=True)


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

    discard_summary(out)
    write_log(out, rows)  # an unwritable folder is told of at once
    job = Job(
        recipe.full_name,
        train_images,
        validation_images,
        recipe.validation,
        recipe.criterion,
        recipe.seed,
        fabric,
        note,
    )
    network = new_network(recipe, train_images)
    selected: dict[str, int] = {}
    for phase_name, phase in recipe.phases.items():
        if phase_name == "pretraining" and pretrained is not None:
            _load_backbone(network, pretrained, recipe)
        else:
            selected[phase_name] = run_phase(network, phase_name, phase, job)
        if phase_name == "pretraining":
            _save_backbone(network, out)
    summary = Summary(
        model=recipe.full_name,
        seed=recipe.seed,
        recipe=to_table(recipe),
        selected=selected,
        n_train=len(train_images),
        n_validation=len(validation_images),
        clean_acc=0.0,
        robust_acc=0.0,
        seconds=round(time.perf_counter() - began, 1),
        device=_device_name(fabric.device),
        precision=precision,
        threads=torch.get_num_threads(),
        pretrained_from="" if pretrained is None else pretrained.name,
        weights_sha256="",
        versions=versions("lightning-fabric"),
        commit=commit(),
        created=utc_now(),
    )
    return _finish(network, recipe, job, out, summary)


def new_network(recipe: Recipe, images: EvalSet) -> CifarResNet:
    """Return the network of a recipe for such images, its weights drawn from the recipe's seed."""
    with randomness(recipe.seed):
        return build_backbone(
            recipe.backbone, in_chans=images.images.shape[1], num_classes=images.n_classes
        )


def make_fabric(device: str, precision: Precision) -> Fabric:
    """Return the device and precision to train with.

    Raises:
        BadValueError: The device is unknown, or is not there.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not number.isdecimal()):
        raise BadValueError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    there = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= there:
        raise BadValueError(
            f"device {device!r} is not there: torch sees {there} CUDA devices; use --device cpu"
        )
    accelerator = "cuda" if kind == "cuda" or (kind == "auto" and there) else "cpu"
    devices = [int(number or 0)] if accelerator == "cuda" else 1
    return Fabric(accelerator=accelerator, devices=devices, precision=_FABRIC_PRECISION[precision])


def _finish(network: CifarResNet, recipe: Recipe, job: Job, out: Path, summary: Summary) -> Summary:
    """Write the weights, measure what was written, then write the card and the summary."""
    save_weights(network, out / WEIGHTS)
    sha256 = load_weights(network, out / WEIGHTS)
    summary = replace(
        summary,
        weights_sha256=sha256,
        clean_acc=accuracy(network, job.validation, None, device=job.fabric.device),
        robust_acc=accuracy(network, job.validation, job.attack, device=job.fabric.device),
    )
    write_card(out, recipe, summary)
    write_summary(out, summary)
    return summary


def _finished(out: Path, recipe: Recipe) -> Summary | None:
    """Return the summary of the same training where it is finished in ``out``."""
    summary = read_summary(out)
    if summary is not None and summary.recipe != to_table(recipe):
        raise BadValueError(
            f"{out} holds {summary.model} (seed {summary.seed}) by another recipe; choose another "
            "--out, or replace it with --restart"
        )
    return summary


def _save_backbone(network: CifarResNet, out: Path) -> None:
    state = {key: value for key, value in network.state_dict().items() if key[:3] != "fc."}
    save_weights(state, out / BACKBONE, half=False)


def _load_backbone(network: CifarResNet, folder: Path, recipe: Recipe) -> None:
    """Fill the network's backbone from a finished run with the same pretraining."""
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
    network.reset_classifier(0)
    load_weights(network, folder / BACKBONE)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
