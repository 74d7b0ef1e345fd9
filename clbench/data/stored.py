"""Images that lie in memory, or are read whenever they are asked for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from clbench.runtime.archives import check_memory
from clbench.runtime.on_disk import RowFile
from clbench.schema.errors import BadValueError

IN_MEMORY_MOST = 1 << 28
"""Bytes that images take at most, as floats, where they are read once for all: 10,000 of CIFAR do,
and 445 of 224x224."""

_PART = 1 << 20
"""Bytes of the images that are looked at together, when one after the other is."""

_FLOAT = 4
"""Bytes of a float."""


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images [n, c, h, w] on a disk, of which those that are asked for are read, every time anew.

    ``read`` gives those at some places of their source, and ``places`` are where these are there.
    Slices, positions and masks give tensors, as they do of a tensor.
    """

    read: Callable[[list[int]], Tensor]
    places: Int64[Tensor, " n"]
    size: tuple[int, int, int]
    dtype: torch.dtype

    @classmethod
    def of(
        cls,
        n: int,
        size: tuple[int, int, int],
        dtype: torch.dtype,
        read: Callable[[list[int]], Tensor],
    ) -> "StoredImages":
        """Return all ``n`` images of a source."""
        return cls(read, torch.arange(n), size, dtype)

    @property
    def shape(self) -> torch.Size:
        """Number, channels, height and width."""
        return torch.Size((len(self.places), *self.size))

    @property
    def nbytes(self) -> int:
        """The bytes of memory that they take: none."""
        return 0

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(
        self, where: slice | Int64[Tensor, " m"] | Bool[Tensor, " n"]
    ) -> Shaped[Tensor, "m c h w"]:
        places = self.places[where].tolist()
        return self.read(places) if places else torch.empty(0, *self.size, dtype=self.dtype)

    def at(self, where: slice | Int64[Tensor, " m"]) -> "StoredImages":
        """Return the images at these places, of which none is read yet."""
        return replace(self, places=self.places[where])

    def changed(self, change: Callable[[Tensor], Tensor], dtype: torch.dtype) -> "StoredImages":
        """Return what ``change`` makes of them, part by part, as they are read."""
        return replace(self, read=lambda places: change(self.read(places)), dtype=dtype)


Images = Tensor | StoredImages
"""Images [n, c, h, w]."""


def parts(images: Images, size: int | None = None) -> Iterator[Tensor]:
    """Yield all images in their order, ``size`` at a time, or as many as are handy."""
    step = size or max(1, _PART // max(1, math.prod(images.shape[1:]) * _FLOAT))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def first(images: Images, n: int) -> Images:
    """Return the first images, of which none is read where they are stored."""
    return images.at(slice(n)) if isinstance(images, StoredImages) else images[:n]


def loaded_if_small(images: Images) -> Images:
    """Return images in memory where they take no room to speak of, otherwise as they are."""
    if math.prod(images.shape) * _FLOAT > IN_MEMORY_MOST:
        return images
    try:
        return in_memory(images)
    except BadValueError:  # there is no room at all
        return images


def in_memory(images: Images) -> Tensor:
    """Return all images as one tensor.

    Raises:
        BadValueError: They do not fit into memory.
    """
    if isinstance(images, Tensor):
        return images
    found = torch.empty(images.shape, dtype=images.dtype, device="meta")
    check_memory(found.nbytes)
    found, start = torch.empty_like(found, device="cpu"), 0
    for part in parts(images):
        found[start : start + len(part)] = part
        start += len(part)
    return found


class Beside:
    """Room for other float32 images of a set, one for each, kept as the set's own are.

    That is in memory where those are, else in a temporary file in ``folder``.
    """

    def __init__(self, images: Images, folder: Path | None = None) -> None:
        n, *size = images.shape
        self._tensor = self._file = None
        if isinstance(images, Tensor):
            self._tensor = torch.empty(n, *size)
            self.images: Images = self._tensor
        else:
            self._file = file = RowFile.temporary(size, "float32", folder)
            self.images = StoredImages.of(
                n,
                images.size,
                torch.float32,
                lambda places: torch.from_numpy(file.read(places)),
            )

    def put(self, where: Int64[Tensor, " m"], images: Tensor) -> None:
        """Keep images, for those at these places.

        Raises:
            StorageError: The disk is full.
        """
        if self._tensor is not None:
            self._tensor[where] = images
        if self._file is not None:
            self._file.write(where.tolist(), images.numpy())
