"""Images with their labels in protocol order, checked once and hashed."""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from clbench.data.checks import PIXEL_MAX, check_labels, check_pixels
from clbench.data.stored import Images, StoredImages, in_memory, parts
from clbench.runtime.layout import row_major
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.numbers import whole
from clbench.schema.shard import Shard
from clbench.schema.text import shown


class SetId(NamedTuple):
    """Which images there are in all: a name, how many, and the sha256 of images and labels."""

    name: str
    n: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Content:
    """Images and their labels; ``sha256`` is that of both shapes, the labels and the images.

    It is made when it is first asked for, part by part.
    """

    images: Images
    labels: Int64[Tensor, " n"]

    @cached_property
    def sha256(self) -> str:
        """In hexadecimal; equal exactly where the content is."""
        digest = hashlib.sha256(f"{list(self.images.shape)}{list(self.labels.shape)}".encode())
        digest.update(self.labels.contiguous().numpy().astype("<i8", copy=False).data)
        for part in parts(self.images):
            digest.update(part.numpy().astype("<f4", copy=False).data)
        return digest.hexdigest()

    def at(self, where: Int64[Tensor, " m"]) -> "Content":
        """Return what is at these places."""
        if isinstance(self.images, StoredImages):
            return Content(self.images.at(where), self.labels[where])
        return Content(self.images[where].contiguous(), self.labels[where])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in [0, 1] and their labels, in protocol order; make one with ``make_image_set``.

    Images are float32 [n, c, h, w]: a tensor, or, of a large file or folder, what is read when it
    is asked for (``images[where]``). Two sets are the same exactly when their hashes are. ``index``
    is the place of each example in the data set that it was taken from first; nothing is ever
    numbered anew. ``whole`` is what the set is a shard of, otherwise the set itself.
    ``class_names`` are empty where nothing but numbers is known.
    """

    name: str
    content: Content
    n_classes: int
    index: Int64[Tensor, " n"]
    whole: SetId
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Images:
        """Images [n, c, h, w] in [0, 1]; slices, positions and masks of them are float32."""
        return self.content.images

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """The class of each."""
        return self.content.labels

    @property
    def sha256(self) -> str:
        """The hash of the content."""
        return self.content.sha256

    def tensor(self) -> Tensor:
        """Return all images as one tensor.

        Raises:
            BadValueError: They do not fit into memory.
        """
        return in_memory(self.images)

    @property
    def summary(self) -> str:
        """What there is, in words: number, size, colours, classes, and the shares of these.

        >>> make_image_set("two", torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), 2).summary
        '2 images 8x8 grey, 2 classes, 50 % each'
        """
        n, channels, height, width = self.images.shape
        colours = {1: "grey", 3: "rgb"}.get(channels, f"with {channels} channels")
        counts = self.labels.bincount(minlength=self.n_classes)
        shares = [f"{100 * count / n:.0f} %" for count in (counts.min(), counts.max())]
        each = " to ".join(dict.fromkeys(shares))
        return f"{n} images {width}x{height} {colours}, {self.n_classes} classes, {each} each"

    @property
    def id(self) -> SetId:
        """What tells this set from others."""
        return SetId(self.name, len(self), self.sha256)

    def select(self, positions: Int64[Tensor, " m"]) -> "ImageSet":
        """Return the examples at these places, in that order, with their indices."""
        found = self.part(positions)
        return replace(found, whole=found.id)

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
        content, index = self.content.at(positions), self.index[positions]
        return replace(self, content=content, index=index)

    def named(self, name: str) -> "ImageSet":
        """Return the same examples under another name."""
        return replace(self, name=name, whole=self.whole._replace(name=name))


def make_image_set(name: str, images: Images, labels: Tensor, n_classes: int) -> ImageSet:
    """Return the checked and hashed set of ``images`` and integer ``labels``.

    Images are uint8, or floats in [0, 1]. Stored ones are read once or twice, part by part.

    Raises:
        DataError: Wrong number of axes, no examples, unequal lengths, a NaN, a pixel outside
            [0, 1], or a label that is no class.

    >>> digit = make_image_set("one", torch.zeros(1, 1, 8, 8), torch.tensor([7]), n_classes=10)
    >>> len(digit), digit.sha256[:8]
    (1, 'bc8845c4')
    """
    _check_shapes(name, images, labels)
    check_labels(name, labels, n_classes)
    floats = _in_order(images)
    if images.dtype != torch.uint8:
        check_pixels(name, floats)
    content = Content(floats, labels.to(torch.int64))
    return ImageSet(
        name=name,
        content=content,
        n_classes=n_classes,
        index=torch.arange(len(labels)),
        whole=SetId(name, len(labels), content.sha256),
    )


def _in_order(images: Images) -> Images:
    if isinstance(images, StoredImages):
        return images.changed(lambda some: row_major(to_floats(some)), torch.float32)
    floats = to_floats(images) if images.dtype == torch.uint8 else images.to(torch.float32)
    return row_major(floats)


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


def _check_shapes(name: str, images: Images, labels: Tensor) -> None:
    if len(images.shape) != 4 or labels.ndim != 1:  # noqa: PLR2004 - the axes n, c, h, w
        raise DataError(
            f"{name} must have images [n, c, h, w] and labels [n], "
            f"got {list(images.shape)} and {list(labels.shape)}"
        )
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(images)} images but {len(labels)} labels")
    if math.prod(images.shape) == 0:
        raise DataError(f"{name} holds no images, got shape {list(images.shape)}")
