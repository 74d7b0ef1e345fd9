"""A request for heads on an encoder: what was asked is read and checked, then they are fitted."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

from clbench.models.encoder import Encoder, load_encoder
from clbench.models.load import Model
from clbench.runtime.devices import find_device
from clbench.schema.errors import ModelError
from clbench.schema.head import HeadMethod, read_method, read_n_seeds
from clbench.schema.paths import AnyPath, AnyPaths, as_path, as_paths, path_or_none
from clbench.training.heads.finished import check_out, seed_folder
from clbench.training.heads.images import data_name, head_images
from clbench.training.heads.recipe import HeadRecipe, read_head_recipe
from clbench.training.heads.run import FittedHead, HeadRun
from clbench.training.images import TrainingImages
from clbench.training.precision import settled
from clbench.training.under_way import OnEpoch, OnStart

_FEW = 4
"""Images that show where the features of an encoder are."""


def fit_head(
    encoder: Model,
    *,
    method: str,
    out: AnyPath,
    dataset: str | None = None,
    data: AnyPaths = (),
    data_dir: AnyPath | None = None,
    download: bool = False,
    weights: AnyPath | None = None,
    recipe: str | None = None,
    changes: Mapping[str, str] | None = None,
    seeds: int = 3,
    device: str = "auto",
    restart: bool = False,
    on_start: OnStart | None = None,
    on_epoch: OnEpoch | None = None,
) -> FittedHead:
    """Fit a classifier on an encoder, once for each seed, and return what they reach.

    The encoder is a network without a classifier, or one whose own is taken off: a folder that
    ``import_checkpoint`` or ``train`` made (of the latter, the pretrained backbone), a name of the
    zoo, of timm, or a user's own code. Each seed gets a folder that ``evaluate`` takes as a model,
    and the epoch that does best on validation images, never on test images. A run that was stopped
    goes on where it stood.

    Args:
        encoder: As the model of ``evaluate``, but for RobustBench's and networks in memory.
        method: "slf", standard linear finetuning; "alf", adversarial linear finetuning; or "aff",
            adversarial full finetuning. Robust accuracies of different ones do not compare.
        out: The folder to write.
        dataset: What to fit on: a name of ``DATASETS``, whose validation images choose the epoch.
        data: Files of training images of any kind, of which a part is for validation; beside the
            name of a data set, of its kind.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.
        weights: A file to fill the encoder with, as in ``evaluate``.
        recipe: A recipe file instead of the protocol's own, see docs/heads.md.
        changes: Fields of the recipe and their values as text, such as "finetuning.epochs".
        seeds: How many; they are 0, 1, ...
        device: auto, cpu, cuda or cuda:N.
        restart: Whether to fit again where a run is.
        on_start: Told what is about to be fitted, a phase for each seed.
        on_epoch: Told every epoch.

    Raises:
        ClbenchError: Anything that the user can mend; nothing that was finished is lost.

    Source:
        Settings of RobustSSL_Benchmark (Zhang et al., 2023); TRADES: arXiv:1901.08573.
    """
    protocol, n_seeds = read_method(method), read_n_seeds(seeds)
    folder, files = as_path("out", out), as_paths("data", data)
    filled = path_or_none("weights", weights)
    check_out(folder)
    images = head_images(
        dataset, files, data_dir=path_or_none("data_dir", data_dir), download=download
    )
    found = load_encoder(
        encoder,
        images=images.train.images[:_FEW].clone(),
        n_classes=images.train.n_classes,
        dataset=dataset,
        weights=filled,
    )
    whole = read_head_recipe(
        protocol,
        encoder=found.sha256,
        data=data_name(dataset, files),
        dataset=dataset,
        file=recipe,
        changes=changes,
    )
    _check_gradients(found, images)
    run = HeadRun(
        encoder=found,
        recipes=_of_seeds(whole, n_seeds, find_device(device), None if restart else folder),
        images=_validated(whole, images),
        out=folder,
        files=files,
        command=_command(
            *(str(encoder), protocol, n_seeds),
            dataset=dataset,
            files=files,
            weights=filled,
            recipe=recipe,
            changes=changes or {},
        ),
    )
    return run.fit(device, restart=restart, on_start=on_start, on_epoch=on_epoch)


def _of_seeds(
    recipe: HeadRecipe, n: int, device: torch.device, folder: Path | None
) -> tuple[HeadRecipe, ...]:
    """Return a recipe for each seed, in the precision that it is, or was, fitted in."""
    return tuple(
        settled(replace(recipe, seed=seed), device, folder=folder and seed_folder(folder, seed))
        for seed in range(n)
    )


def _validated(recipe: HeadRecipe, images: TrainingImages) -> TrainingImages:
    """Return images with those of the validation ones that the recipe uses."""
    n, found = recipe.validation.examples, images.validation
    return replace(images, validation=found.head(min(n, len(found))) if n else found)


def _check_gradients(encoder: Encoder, images: TrainingImages) -> None:
    """Check that an encoder has the gradients that adversaries follow, that of validation included.

    Raises:
        ModelError: None reaches its images.
    """
    network = encoder.fresh()
    few = images.train.images[:_FEW].clone().requires_grad_()
    layer = network.get_classifier()
    entered: list[torch.Tensor] = []
    layer.register_forward_pre_hook(lambda _module, inputs: entered.append(inputs[0]))
    with torch.enable_grad():
        network(few)
    features = entered[-1]
    slopes = (
        torch.autograd.grad(features.sum(), few, allow_unused=True)[0]
        if features.requires_grad
        else None
    )
    if slopes is None:
        raise ModelError(
            f"encoder {encoder.name!r} has no gradient at its images, which the adversaries of "
            "training and validation follow; give one that torch can differentiate"
        )


def _command(
    encoder: str,
    method: HeadMethod,
    seeds: int,
    *,
    dataset: str | None,
    files: tuple[Path, ...],
    weights: Path | None,
    recipe: str | None,
    changes: Mapping[str, str],
) -> str:
    """Return the command that fits it again; places of files are the user's own affair."""
    where, colon, name = encoder.rpartition(":")
    there = Path(encoder).exists() or Path(where).exists()
    shown = f"{Path(where).name}{colon}{name}" if colon and there else Path(encoder).name
    options = [
        *([("--dataset", dataset)] if dataset else []),
        *(("--data", path.name) for path in files),
        *([("--weights", weights.name)] if weights else []),
        *([("--recipe", Path(recipe).name)] if recipe else []),
        *(("--set", f"{field}={text}") for field, text in changes.items()),
        *(("--seeds", str(seeds)), ("--out", "DIR")),
    ]
    words = ("clbench", "head", shown if there else encoder, "--method", method)
    return shlex.join((*words, *chain(*options)))
