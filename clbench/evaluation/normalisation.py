"""Is a normalisation missing, or there twice? Told by images that become right with one."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.tile_network import plain_logits

SUSPECT = "normalisation_suspect"
"""The flag of a network that is right more often on images normalised once more, or once less."""

LOOKED_AT = 64
"""So many of the first images are looked at."""

MOST_GAINED = 0.1
"""The share of them that may become right: ten points."""

_ASKED_FIRST = 6
"""Wrong images that every normalisation is tried on; most must become right for a closer look."""


class Normalisation(NamedTuple):
    """A mean and a standard deviation for each channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


COMMON = {
    3: (
        Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's, CIFAR's are near
        Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    ),
    1: (
        Normalisation((0.1307,), (0.3081,)),  # MNIST's
        Normalisation((0.5,), (0.5,)),
        Normalisation((0.0,), (1 / 255,)),
    ),
}
"""What networks are trained with, by the number of channels. Source: torchvision's weights and
examples."""


def images_gained(
    model: AttackedModel,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    predicted: Int[Tensor, " n"],
    *,
    tile: int,
) -> int:
    """Return how many more images a network has right with the best common normalisation.

    It is 0 where no more than ten points are gained. Normalisations are tried on a few wrong images
    first: an ordinary network costs 36 passes, and none where hardly an image is wrong.

    Args:
        model: The network, where the images are.
        images: Some clean ones, in [0, 1].
        labels: Their classes.
        predicted: What the network says of them.
        tile: Images at once.
    """
    wrong = (predicted != labels).nonzero()[:, 0]
    if len(wrong) <= MOST_GAINED * len(images):
        return 0
    few, right = wrong[:_ASKED_FIRST], len(images) - len(wrong)
    changed = list(_changed(images))
    if not changed:
        return 0
    tried = [one[few] for one in changed]
    answers = classes_of(plain_logits(model, torch.cat(tried), tile)).reshape(len(tried), -1)
    found = (answers == labels[few]).sum(dim=1)
    if int(found.max()) <= len(few) / 2:
        return 0
    again = classes_of(plain_logits(model, changed[int(found.argmax())], tile))
    gained = int((again == labels).sum()) - right
    return gained if gained > MOST_GAINED * len(images) else 0


def _changed(images: Float[Tensor, "n c h w"]) -> Iterator[Float[Tensor, "n c h w"]]:
    """Yield the images normalised, and with a normalisation undone, in every common way."""
    for one in COMMON.get(images.shape[1], ()):
        mean, std = (torch.tensor(part).to(images)[:, None, None] for part in one)
        yield (images - mean) / std
        yield images * std + mean
