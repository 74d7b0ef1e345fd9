"""What is known before the first attack: clean predictions, factors of logits, signs of trouble."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.confirm import Batch
from clbench.evaluation.logit_scale import is_distorted, log2_factors, same_factor
from clbench.evaluation.normalisation import LOOKED_AT, SUSPECT, images_gained
from clbench.evaluation.reliability import examine, has_zero_gradient
from clbench.evaluation.tile_network import plain_logits
from clbench.models.validate import times_rounding
from clbench.schema.flags import BATCH_DEPENDENT, RANDOMIZED


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
    *,
    checked: Bool[Tensor, " n"],
    device: torch.device,
    tile: int,
) -> FirstLook:
    """Classify the clean images and look at each for signs of trouble.

    What is found for an image depends on no other one.

    Args:
        model: The network, on ``device``.
        images: The examples.
        checked: Of which of them the gradient is looked at, where they are right.
        device: Where to run.
        tile: Images at once; the last ones are filled up.
    """
    clean_pred = torch.empty(len(images), dtype=torch.int64)
    for where in torch.split(torch.arange(len(images)), tile):
        logits = plain_logits(model, Batch.at(images, where, device).images, tile)
        clean_pred[where] = classes_of(logits).cpu()
    flags = Counter(nan_logits=int((clean_pred < 0).sum()))
    right = clean_pred == images.labels
    factors = torch.zeros_like(clean_pred)
    for where, batch in _tiles(model, images, right, device, tile):
        factors[where] = log2_factors(model, batch.images, batch.labels)[: len(where)]
    for factor, some in same_factor(factors):
        mine = torch.zeros_like(right)
        mine[some] = True
        for where, batch in _tiles(model, images, right & checked & mine, device, tile):
            with model.times(factor):
                flags += _blind(model, batch, len(where))
    return FirstLook(clean_pred, factors, +flags)  # without those that no image raised


def signs_of_trouble(
    model: AttackedModel,
    first: Float[Tensor, "t c h w"],
    labels: Int[Tensor, " t"],
    alone: Float[Tensor, "m k"],
    *,
    tile: int,
) -> Counter[str]:
    """Return the flags that the first images of a data set raise together.

    Args:
        model: The network, where they are.
        first: No more than a tile of them.
        labels: Their classes.
        alone: Its logits of the first few, which were asked for in a batch of their own.
        tile: Images at once.
    """
    flags = examine(model, first)
    before = model.forward_passes
    logits = plain_logits(model, first, tile)
    some, predicted = slice(LOOKED_AT), classes_of(logits)
    flags[SUSPECT] += images_gained(model, first[some], labels[some], predicted[some], tile=tile)
    model.forward_passes = before  # counted where these images are classified
    few = min(len(logits), len(alone))
    if RANDOMIZED not in flags:
        # only in batches larger than those it was asked in before
        times = times_rounding([logits[:few].float().cpu(), alone[:few]])
        flags += Counter({BATCH_DEPENDENT: times})
    return flags


def _blind(model: AttackedModel, batch: Batch, n: int) -> Counter[str]:
    """Count, of the first images of a batch, those at which attacks cannot follow a gradient."""
    zero = has_zero_gradient(model, batch.images, batch.labels).cpu()[:n]
    tiny = torch.zeros_like(zero)
    if model.factor != 1:
        tiny = is_distorted(model, batch.images, batch.labels)[:n] & ~zero
    return Counter(zero_gradient=int(zero.sum()), tiny_gradient=int(tiny.sum()))


def _tiles(
    model: AttackedModel,
    images: ImageSet,
    wanted: Bool[Tensor, " n"],
    device: torch.device,
    tile: int,
) -> Iterator[tuple[Int[Tensor, " b"], Batch]]:
    """Yield where some images are, and the full tile that they begin; filling is not counted."""
    places = wanted.nonzero()[:, 0]
    for where in torch.split(places, tile) if len(places) else ():
        filled = torch.cat([where, where[:1].expand(tile - len(where))])
        with model.counting(torch.arange(tile) < len(where)):
            yield where, Batch.at(images, filled, device)
