"""In which precision a recipe is trained: as it says, as it was begun, or as is quick here."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from clbench.data.image_set import ImageSet
from clbench.runtime.devices import device_name
from clbench.runtime.precision import AUTO, is_slower, quicker, settle, slowdown
from clbench.schema.names import Precision, PrecisionChoice
from clbench.training.artifacts import read_record
from clbench.training.checkpoint import read_checkpoint
from clbench.training.heads.recipe import HeadRecipe
from clbench.training.recipe import Recipe
from clbench.training.training import new_network

_LOGGER = logging.getLogger(__name__)

_MOST = 64

AnyRecipe = TypeVar("AnyRecipe", Recipe, HeadRecipe)


def settled(recipe: AnyRecipe, device: torch.device, *, folder: Path | None = None) -> AnyRecipe:
    """Return a recipe with the precision that it is trained in.

    What is left open is taken over from a training in ``folder``, so that it goes on to the same
    weights on any machine; where there is none, it is what the device is quick in.

    Raises:
        BadValueError: There is no such precision, or the device does not have it.
        RecordError: What is in the folder cannot be read.
    """
    auto: Precision = "float32"
    if recipe.precision == AUTO:
        auto = _begun_in(folder) or quicker(device)
    return replace(recipe, precision=settle(recipe.precision, device, auto=auto))


def tell_of_precision(
    asked: PrecisionChoice, recipe: Recipe, images: ImageSet, device: torch.device
) -> None:
    """Log what was taken where it was left open, and by how much it is slower where it was not.

    Args:
        asked: What was asked for.
        recipe: With its precision settled.
        images: To measure with, on a network of the recipe.
        device: Where to train.
    """
    here, chosen = quicker(device), recipe.precision
    name, has = device_name(device), "has" if here == "bfloat16" else "has no"
    if asked == AUTO and chosen == here:
        _LOGGER.info("training in %s: this %s %s instructions for bfloat16", chosen, name, has)
        return
    if asked == AUTO:
        _LOGGER.warning(
            "going on in %s, in which this training was begun; a new one would be in %s here",
            *(chosen, here),
        )
    if chosen == "bfloat16" and is_slower(ratio := _slowdown(recipe, images, device)):
        _LOGGER.warning(
            "training steps take %.1f times as long in bfloat16 as in float32 on this %s, measured "
            "on this network; --precision float32 is quicker",
            *(ratio, name),
        )


def _begun_in(folder: Path | None) -> Precision | None:
    """Return the precision of the training that a folder holds, None where it holds none."""
    if folder is None:
        return None
    record, stopped = read_record(folder), None
    if record is None:
        stopped = read_checkpoint(folder, {})
    recipe = record.recipe if record else stopped.settings["recipe"] if stopped else None
    if recipe is None:
        return None
    # fields that have their default are left out of checkpoints
    return "bfloat16" if recipe.get("precision") == "bfloat16" else "float32"


def _slowdown(recipe: Recipe, images: ImageSet, device: torch.device) -> float:
    """Return how many times as long a step takes in bfloat16: passes of the recipe's network."""
    network = new_network(recipe, images).to(device).to(memory_format=torch.channels_last)
    some = images.images[:_MOST].to(device).contiguous(memory_format=torch.channels_last)

    def passes(n: int, precision: Precision) -> None:
        low = precision == "bfloat16"
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            logits = network(some[:n])
        logits.float().sum().backward()

    return slowdown(passes, device, most=len(some))
