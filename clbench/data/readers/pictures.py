"""Encoded pictures of one size, which are decoded whenever they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clbench.data.stored import Images, StoredImages, loaded_if_small
from clbench.runtime.archives import check_memory
from clbench.schema.errors import BadValueError, DataError

_FORMATS = ("JPEG", "PNG")
_MODES = {1: "L", 3: "RGB"}
"""What Pillow calls images with so many channels."""

_GREY = ("1", "L", "LA", "La")
"""What Pillow calls images without colours."""

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no picture, are cut off, or unpack to a huge one."""


class _Head(NamedTuple):
    width: int
    height: int
    is_grey: bool

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, eq=False)
class Pictures:
    """JPEG and PNG files, by number.

    ``encoded`` gives the bytes of one, ``where`` says which one it is, and ``leave_out`` what to do
    about one that cannot be read.
    """

    name: str
    n: int
    encoded: Callable[[int], bytes]
    where: Callable[[int], str]
    leave_out: str

    def images(self, n_channels: int | None) -> Images:
        """Return them as uint8 images; of many, only the heads have been read.

        All are made colour, or grey where ``n_channels`` is 1, or where that is None and no picture
        has colours; transparency is dropped.

        Raises:
            DataError: The head of a picture is unreadable, it is 16-bit grey, or of another size
                than the first; or one of them does not fit into memory. Where a picture is
                damaged behind its head, that is raised when it is decoded.
        """
        first, is_grey = self._head(0), True
        for number in range(self.n):
            head = self._head(number)
            if head[:2] != first[:2]:
                raise DataError(
                    f"images of {self.name} must be of one size, got {first.size} in "
                    f"{self.where(0)} and {head.size} in {self.where(number)}"
                )
            is_grey = is_grey and head.is_grey
        channels = n_channels or (1 if is_grey else 3)
        try:
            check_memory(first.width * first.height * channels)
        except BadValueError as error:
            raise DataError(f"an image of {self.name} {error}; make them smaller") from error
        return loaded_if_small(
            StoredImages.of(
                self.n,
                (channels, first.height, first.width),
                torch.uint8,
                lambda places: self._decoded(places, _MODES[channels]),
            )
        )

    def _head(self, number: int) -> _Head:
        try:
            with Image.open(BytesIO(self.encoded(number)), formats=_FORMATS) as picture:
                mode, (width, height) = picture.mode, picture.size
        except _UNREADABLE as error:
            raise self._unreadable(number) from error
        if mode.startswith("I"):  # Pillow would cut everything above 255
            raise DataError(
                f"{self.where(number)} of {self.name} holds grey pixels of 16 bits; save them as "
                "8 bits"
            )
        return _Head(width, height, mode in _GREY)

    def _decoded(self, places: list[int], mode: str) -> Tensor:
        """Return some pictures, uint8 [m, c, h, w]."""
        found = []
        for number in places:
            try:
                with Image.open(BytesIO(self.encoded(number)), formats=_FORMATS) as picture:
                    found.append(np.asarray(picture.convert(mode)))
            except _UNREADABLE as error:
                raise self._unreadable(number) from error
        images = torch.from_numpy(np.stack(found))
        return images[:, None] if mode == "L" else images.permute(0, 3, 1, 2)

    def _unreadable(self, number: int) -> DataError:
        return DataError(
            f"{self.where(number)} of {self.name} holds no readable JPEG or PNG; {self.leave_out}"
        )
