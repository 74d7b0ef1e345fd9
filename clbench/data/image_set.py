"""Images with their labels in protocol order, checked once and hashed."""

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from clbench.schema.errors import BadValueError, DataError

_FEW = 0.2
"""The share of images that may be marked by a label that is no class."""

PIXEL_MAX = 255
"""The brightest 8-bit pixel; it becomes 1.0."""


class SetId(NamedTuple):
    """Which images there are in all: a name, how many, and the sha256 of images and labels."""

    name: str
    n: int
    sha256: str


class Shard(NamedTuple):
    """Every ``of``-th example, from the one with this ``number`` on, which counts from 0."""

    number: int
    of: int

    def positions(self, n: int) -> Int64[Tensor, " m"]:
        """Return which of ``n`` examples are in it."""
        return torch.arange(self.number, n, self.of)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in [0, 1] and their labels, in protocol order; make one with ``make_image_set``.

    ``sha256`` is that of the content: both shapes, the labels and the images. Two sets are the same
    exactly when their hashes are. ``index`` is the place of each example in the data set that it
    was taken from first; nothing is ever numbered anew. ``whole`` is what the set is a shard of,
    otherwise the set itself.
    """

    name: str
    images: Float32[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    n_classes: int
    sha256: str
    index: Int64[Tensor, " n"]
    whole: SetId

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def id(self) -> SetId:
        """What tells this set from others."""
        return SetId(self.name, len(self), self.sha256)

    def select(self, positions: Int64[Tensor, " m"]) -> "ImageSet":
        """Return the examples at these places, in that order, with their indices."""
        images, labels = self.images[positions].contiguous(), self.labels[positions]
        found = _image_set(self.name, images, labels, self.n_classes)
        return replace(found, index=self.index[positions])

    def head(self, n_examples: int) -> "ImageSet":
        """Return the first examples.

        Raises:
            BadValueError: ``n_examples`` is not from 1 to the length of this set.
        """
        n = count_examples(self.name, n_examples, available=len(self))
        return self.select(torch.arange(n))

    def at_most(self, n_examples: int) -> "ImageSet":
        """Return evenly spaced examples, or itself where it has no more than ``n_examples``."""
        if len(self) <= n_examples:
            return self
        return self.select(torch.arange(n_examples) * len(self) // n_examples)

    def shard(self, shard: Shard) -> "ImageSet":
        """Return the examples of a shard; only their ``whole`` is this set.

        Raises:
            BadValueError: There are fewer examples than shards.
        """
        if shard.of > len(self):
            raise BadValueError(
                f"{self.name} has {len(self)} examples, too few for {shard.of} shards"
            )
        return replace(self.select(shard.positions(len(self))), whole=self.id)

    def named(self, name: str) -> "ImageSet":
        """Return the same examples under another name."""
        return replace(self, name=name, whole=self.whole._replace(name=name))


def make_image_set(name: str, images: Tensor, labels: Tensor, n_classes: int) -> ImageSet:
    """Return the checked and hashed set of ``images`` (floats in [0, 1]) and integer ``labels``.

    Raises:
        DataError: Wrong number of axes, no examples, unequal lengths, a NaN, a pixel outside
            [0, 1], or a label that is no class.

    >>> digit = make_image_set("one", torch.zeros(1, 1, 8, 8), torch.tensor([7]), n_classes=10)
    >>> len(digit), digit.sha256[:8]
    (1, 'bc8845c4')
    """
    _check_shapes(name, images, labels)
    check_labels(name, labels, n_classes)
    images = images.to(torch.float32).contiguous()
    check_pixels(name, images)
    return _image_set(name, images, labels.to(torch.int64), n_classes)


def _image_set(name: str, images: Tensor, labels: Tensor, n_classes: int) -> ImageSet:
    sha256 = _sha256(images, labels)
    return ImageSet(
        name=name,
        images=images,
        labels=labels,
        n_classes=n_classes,
        sha256=sha256,
        index=torch.arange(len(labels)),
        whole=SetId(name, len(labels), sha256),
    )


def to_floats(images: Tensor) -> Tensor:
    """Return 8-bit images in [0, 1], as torchvision's ``ToTensor`` does; floats stay as they are.

    >>> to_floats(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return images if images.is_floating_point() else images.to(torch.float32) / PIXEL_MAX


def count_examples(name: str, n_examples: int | None, *, available: int) -> int:
    """Return how many examples to take; None means all that ``name`` has.

    Raises:
        BadValueError: ``n_examples`` is not from 1 to ``available``.
    """
    if n_examples is None:
        return available
    if not 1 <= n_examples <= available:
        raise BadValueError(
            f"n_examples must be from 1 to {available}, all that {name} has, got {n_examples}"
        )
    return n_examples


def check_labels(name: str, labels: Tensor, n_classes: int, why: str = "") -> None:
    """Check that every label is a class; ``why`` says what knows how many classes there are.

    Raises:
        DataError: A label is negative, or ``n_classes`` or above; the message names the first.
    """
    wrong = ((labels < 0) | (labels >= n_classes)).nonzero().flatten()
    if len(wrong) > 0:
        first, share = int(wrong[0]), len(wrong) / len(labels)
        from_1 = int(labels.min()) == 1 and int(labels.max()) == n_classes
        hint = "; they count from 1: subtract 1" if from_1 else ""
        if why and share < _FEW and not hint:
            hint = f"; leave out the {len(wrong)} of {len(labels)} images that are of no class"
        raise DataError(
            f"labels of {name} must be from 0 to {n_classes - 1}{f', as {why}' if why else ''}, "
            f"got {int(labels[first])} at example {first}{hint}"
        )


def check_pixels(name: str, images: Tensor) -> None:
    """Check that floating-point pixels are in [0, 1].

    Raises:
        DataError: A pixel is not, or is NaN.
    """
    low, high = float(images.min()), float(images.max())
    if low != low:  # noqa: PLR0124 - a NaN anywhere makes the minimum one
        first = int(images.isnan().flatten(1).any(dim=1).nonzero()[0])
        raise DataError(f"images of {name} must be numbers, got NaN in example {first}")
    if low < 0 or high > 1:
        raise DataError(
            f"images of {name} must be in [0, 1], got values from {low:g} to {high:g}"
            + ("; divide them by 255" if 1 < high <= PIXEL_MAX and low >= 0 else "")
        )


def _check_shapes(name: str, images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or labels.ndim != 1:  # noqa: PLR2004 - the axes n, c, h, w
        raise DataError(
            f"{name} must have images [n, c, h, w] and labels [n], "
            f"got {list(images.shape)} and {list(labels.shape)}"
        )
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(images)} images but {len(labels)} labels")
    if images.numel() == 0:
        raise DataError(f"{name} holds no images, got shape {list(images.shape)}")


def _sha256(images: Float32[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> str:
    digest = hashlib.sha256(f"{list(images.shape)}{list(labels.shape)}".encode())
    digest.update(labels.contiguous().numpy().astype("<i8", copy=False).data)
    digest.update(images.numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()
