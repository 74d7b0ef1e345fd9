"""Images with their labels in protocol order, checked once and hashed."""

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from clbench.runtime.layout import row_major
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.numbers import whole
from clbench.schema.shard import Shard
from clbench.schema.text import shown

log = logging.getLogger(__name__)

_FEW = 0.2
"""The share of images that may be marked by a label that is no class."""

_INK_MAX = 16
"""The brightest pixel of scikit-learn's digits as they come."""

_DARK, _DIM = 0.25, 0.49
"""Shares of the scale below which the brightest pixel of pictures hardly lies; of many pictures."""

_FAR = 0.5
"""Images from -1 to 1 hardly stay within this."""

_MANY = 8
"""Images that do not share their brightest pixel by chance."""

PIXEL_MAX = 255
"""The brightest 8-bit pixel; it becomes 1.0."""


class SetId(NamedTuple):
    """Which images there are in all: a name, how many, and the sha256 of images and labels."""

    name: str
    n: int
    sha256: str


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
        return self.part(torch.arange(shard.number, len(self), shard.of))

    def part(self, positions: Int64[Tensor, " m"]) -> "ImageSet":
        """Return the examples at these places, as a part of what this set is a part of."""
        return replace(self.select(positions), whole=self.whole)

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
    images = row_major(images.to(torch.float32))
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
    try:
        return whole("n_examples", n_examples, 1, available)
    except BadValueError as error:
        got = shown(n_examples)
        raise BadValueError(
            f"n_examples must be from 1 to {available}, all that {name} has, got {got}"
        ) from error


def check_labels(name: str, labels: Tensor, n_classes: int, why: str = "") -> None:
    """Check that every label is a class; ``why`` says what knows how many classes there are.

    Raises:
        DataError: A label is negative, or ``n_classes`` or above; the message names the first.
    """
    wrong = ((labels < 0) | (labels >= n_classes)).nonzero().flatten()
    if len(wrong) > 0:
        first, share = int(wrong[0]), len(wrong) / len(labels)
        hint = ""
        if int(labels.min()) == 1 and int(labels.max()) == n_classes:
            hint = "; they count from 1: subtract 1"
        elif why and share < _FEW:
            hint = f"; leave out the {len(wrong)} of {len(labels)} images that are of no class"
        elif why:
            hint = f"; these labels want at least {int(labels.max()) + 1}"
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
            + _to_the_right_scale(low, high)
        )


def _to_the_right_scale(low: float, high: float) -> str:
    """Return what brings images with these extremes into [0, 1], as the end of a line; or ""."""
    if low >= 0 and high <= PIXEL_MAX:
        white = _INK_MAX if _INK_MAX / 2 < high <= _INK_MAX else PIXEL_MAX
        return f"; divide them by {white}"
    if -1 <= low < -_FAR and _FAR < high <= 1:
        return "; take (x + 1) / 2"
    if low < -1 and high > 1:
        return "; undo their normalisation, which belongs into the network"
    return ""


def check_scale(name: str, images: Tensor) -> None:
    """Check that images use the scale of their type: up to 255, or up to 1 for floats.

    Dark photographs differ in their brightest pixel. Where most images share one that is dark, it
    is the white of another scale: of bits (1), of scikit-learn's digits (16), or of a division by
    255 that was made twice. Those are refused, what is less clear is told in the log.

    Raises:
        DataError: They do not.
    """
    if images.numel() == 0 or images.ndim < 2:  # noqa: PLR2004 - what has pixels
        return
    brightest = images.amax(dim=tuple(range(1, images.ndim)))
    white, scale = float(brightest.max()), 1 if images.is_floating_point() else PIXEL_MAX
    shared = int((brightest == white).sum())
    dim = _DIM if len(images) >= _MANY else _DARK
    if not 0 < white / scale <= dim or 2 * shared < len(images):
        return  # a NaN too: check_pixels names it
    level = round(white / scale * PIXEL_MAX)
    known = level == 1 or (level == _INK_MAX and scale != 1)
    if known and len(images) >= _MANY:
        divide = f"divide them by {white:g}" if scale != 1 else "divide them by 255 once, not twice"
        raise DataError(
            f"images of {name} must be {'floats' if scale == 1 else 'uint8'} from 0 to {scale}, "
            f"got {white:g} as the brightest of {shared} of {len(images)}; {divide}, as floats"
        )
    log.warning(
        "%s: the brightest pixel of %d of %d images is %g of %d; taken as they are, dark",
        *(name, shared, len(images), white, scale),
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
