"""What is known before the first attack: clean predictions, factors of logits, signs of trouble."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.chance import AT_CHANCE, is_at_chance
from clbench.evaluation.confirm import Batch
from clbench.evaluation.logit_scale import is_distorted, log2_factors, same_factor
from clbench.evaluation.reliability import MAX_GRADIENTS_CHECKED, examine, has_zero_gradient
from clbench.evaluation.tile_network import plain_logits
from clbench.models.validate import BATCH_DEPENDENT, RANDOMIZED, same_answers


class FirstLook(NamedTuple):
    """Of every example its clean prediction, and the power of two its logits are attacked times.

    Both are on the CPU. ``flags`` count the images that raised each.
    """

    clean_pred: Int[Tensor, " n"]
    log2_factors: Int[Tensor, " n"]
    flags: Counter[str]


def first_look(
    model: AttackedModel,
    images: ImageSet,
    alone: Float[Tensor, "m k"],
    *,
    device: torch.device,
    tile: int,
) -> FirstLook:
    """Classify the clean images and look for signs of trouble.

    Args:
        model: The network, on ``device``.
        images: The examples.
        alone: Its logits of the first few, which were asked for in a batch of their own.
        device: Where to run.
        tile: Images at once; the last ones are filled up.
    """
    parts = torch.split(torch.arange(len(images)), tile)
    first = Batch.at(images, parts[0], device).images
    logits = plain_logits(model, first, tile)
    others = [
        classes_of(plain_logits(model, Batch.at(images, one, device).images, tile))
        for one in parts[1:]
    ]
    clean_pred = torch.cat([classes_of(logits), *others]).cpu()
    flags: Counter[str] = Counter(examine(model, first))
    flags["nan_logits"] = int((clean_pred < 0).sum())
    flags[AT_CHANCE] = int(is_at_chance(clean_pred, images.labels, images.n_classes))
    few = min(len(logits), len(alone))
    if RANDOMIZED not in flags and not same_answers(logits[:few].float().cpu(), alone[:few]):
        flags[BATCH_DEPENDENT] = 1  # only in batches larger than those it was asked in before
    right = (clean_pred == images.labels).nonzero()[:, 0]
    factors = torch.zeros_like(clean_pred)
    for where in _batches(right, tile):
        batch = Batch.at(images, where, device)
        factors[where] = log2_factors(model, batch.images, batch.labels)
    for where in _batches(right[:MAX_GRADIENTS_CHECKED], tile):
        for factor, some in same_factor(factors[where]):
            with model.times(factor):
                flags += _blind(model, Batch.at(images, where[some], device))
    return FirstLook(clean_pred, factors, +flags)  # without those that no image raised


def _blind(model: AttackedModel, batch: Batch) -> Counter[str]:
    """Count the images that are right at which attacks cannot follow a gradient."""
    zero = has_zero_gradient(model, batch.images, batch.labels).cpu()
    tiny = torch.zeros_like(zero)
    if model.factor != 1:
        tiny = is_distorted(model, batch.images, batch.labels) & ~zero
    return Counter(zero_gradient=int(zero.sum()), tiny_gradient=int(tiny.sum()))


def _batches(where: Int[Tensor, " m"], size: int) -> Iterator[Int[Tensor, " b"]]:
    """Yield places in pieces; none where there are none."""
    yield from (one for one in torch.split(where, size) if len(one))
