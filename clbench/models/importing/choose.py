"""Which reading of a checkpoint is right, by clean accuracy on images that are not for testing."""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from clbench.data.image_set import ImageSet
from clbench.models.importing.readings import Reading
from clbench.schema.errors import ModelError, describe

FIRST_IMAGES, MOST_IMAGES = 256, 4096
"""Images that all readings are asked about, and those of which some stay in question."""

_BATCH = 64

_DEVIATIONS = 2.0
"""So many standard deviations of a difference are beyond chance."""


class Chosen(NamedTuple):
    """The reading that is right most often, and the accuracy of each that was tried, in words."""

    reading: Reading
    tried: tuple[str, ...]


def choose(
    readings: Sequence[Reading], build: Callable[[Reading], nn.Module], images: ImageSet
) -> Chosen:
    """Return the reading with the highest clean accuracy.

    The first one stays where somebody said it, unless another is better beyond chance. Where nobody
    did, the best must be so.

    Args:
        readings: The likeliest first.
        build: Makes a network of one, in eval mode, with its weights.
        images: Training or validation images, of the network's classes.

    Raises:
        ModelError: None of them is right more often than chance, or the images do not tell two
            apart of which nobody said which.
    """
    some = images.at_most(FIRST_IMAGES)
    right = [_right(build(one), some) for one in readings]
    best = max(right, key=lambda one: int(one.sum()))
    if len(images) > len(some) and readings[0].unsaid:
        # those that are clearly worse need no closer look
        readings = [
            one for one, own in zip(readings, right, strict=True) if not _is_better(best, own)
        ]
        some = images.at_most(MOST_IMAGES)
        right = [_right(build(one), some) for one in readings]
    counts = [int(one.sum()) for one in right]
    tried = tuple(
        f"{count / len(some):.1%} with {reading}"
        for count, reading in sorted(zip(counts, readings, strict=True), key=lambda pair: -pair[0])
    )
    top = max(range(len(readings)), key=lambda k: counts[k])
    _check_beyond_chance(counts[top], some, tried[0])
    near = [k for k, own in enumerate(right) if not _is_better(right[top], own)]
    unsaid = readings[top].unsaid
    for k in near:
        if any(readings[k].answer(one) != readings[top].answer(one) for one in unsaid):
            raise ModelError(
                f"the images do not tell {readings[top]} ({counts[top] / len(some):.1%} right) "
                f"from {readings[k]} ({counts[k] / len(some):.1%}), n={len(some)}; say it by "
                "--mean and --std, or give more images with --data"
            )
    # what somebody said, and the images do not refute, stays
    return Chosen(readings[min(near)], tried)


def _right(network: nn.Module, images: ImageSet) -> Bool[Tensor, " n"]:
    """Return which images a network is right on.

    Raises:
        ModelError: It does not take them.
    """
    found = []
    try:
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = images.images[start : start + _BATCH]
                labels = images.labels[start : start + _BATCH]
                found.append(network(batch).argmax(dim=1) == labels)
    except Exception as error:
        shape = list(images.images.shape[1:])
        raise ModelError(
            f"the network does not take images {shape}: {describe(error)}; give others with --data"
        ) from error
    return torch.cat(found)


def _check_beyond_chance(count: int, images: ImageSet, best: str) -> None:
    n, share = len(images), float(images.labels.bincount().max()) / len(images)
    if count <= n * share + _DEVIATIONS * sqrt(n * share * (1 - share)):
        raise ModelError(
            f"the network is right on {images.name} hardly more often than chance, however it is "
            f"read: {best}, n={n}; give images of the classes, and in the order, that it was "
            "trained on"
        )


def _is_better(one: Tensor, other: Tensor) -> bool:
    """Say whether the first is right on more images than the other, beyond chance."""
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return gained - lost > _DEVIATIONS * sqrt(gained + lost)
