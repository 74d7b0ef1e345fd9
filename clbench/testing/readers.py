"""The laws of readers: the same images in any format are the same, and no split has another's."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from clbench.data.checks import PIXEL_MAX
from clbench.data.image_set import make_image_set, to_floats
from clbench.data.interface import Examples
from clbench.data.stored import in_memory
from clbench.schema.errors import DataError
from clbench.testing.law import Law, check, hold

Write = Callable[[Path, Tensor, Tensor], Path]
"""Writes 8-bit images [n, c, h, w] and labels [n] into a folder, and says what to read."""

Read = Callable[[Path], Examples]
"""Reads it; images are 8-bit, or floats in [0, 1]."""

Splits = Callable[[], Mapping[str, Examples]]
"""Reads all splits of a data set, "test" among them."""

_N, _CLASSES = 12, 3


class Loaded(NamedTuple):
    """Images in memory, and their labels."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ReaderCase:
    """A reader, and how files for it are written.

    Attributes:
        name: What messages call it.
        write: Writes a file of the format.
        read: Reads it.
        splits: Reads all splits of a data set.
        shape: Channels, height and width of the images that the format is tried with.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    write: Write | None = None
    read: Read | None = None
    splits: Splits | None = None
    shape: tuple[int, int, int] = (3, 32, 32)
    excused: Mapping[str, str] = field(default_factory=dict)

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared: dict[str, str] = {}
        if self.read is None or self.write is None:
            declared |= dict.fromkeys(_OF_FORMATS, "it brings images of its own")
        elif self.shape[0] == 1:
            declared["keeps_the_channels"] = "its images are grey"
        if self.splits is None:
            declared["splits_share_no_image"] = "it has no splits"
        return declared | dict(self.excused)

    def read_back(self) -> "Loaded":
        """Return the known images as they come back from a file."""
        with self.file_read() as found:
            return Loaded(in_memory(found.images), found.labels)

    @contextmanager
    def file_read(self) -> Iterator[Examples]:
        """Read a file of the known images, which is there during the block."""
        if self.read is None or self.write is None:
            raise AssertionError("it brings images of its own")
        with tempfile.TemporaryDirectory() as folder:
            images, labels = written(self.shape)
            yield self.read(self.write(Path(folder), images, labels))


def check_reader(
    read: Read | None = None,
    write: Write | None = None,
    *,
    splits: Splits | None = None,
    name: str = "the reader",
    shape: tuple[int, int, int] = (3, 32, 32),
    excused: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> None:
    """Assert that a reader keeps the laws of ``READER_LAWS``.

    Args:
        read: Reads a file: images [n, c, h, w], 8-bit or floats in [0, 1], and labels [n].
        write: Writes such a file into a folder, from 8-bit images [n, c, h, w] and labels [n], and
            returns its path.
        splits: Reads all splits of a data set, by name, "test" among them.
        name: What messages call it.
        shape: Channels, height and width of the images to try.
        excused: Laws that it does not keep, each with the reason.
        only: Names of laws; all by default.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """
    case = ReaderCase(
        name=name, write=write, read=read, splits=splits, shape=shape, excused=excused or {}
    )
    check(READER_LAWS, case, only)


def written(
    shape: tuple[int, int, int],
) -> tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]:
    """Return the images and labels that are written: no two are alike, and each uses all of 0..255.

    Images of three channels are reddest, then green, and least blue.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, PIXEL_MAX + 1, (_N, *shape), generator=generator)
    tint = torch.tensor([1.0, 0.6, 0.3])[: shape[0], None, None]
    tinted = (images * tint).round().to(torch.uint8)
    tinted[:, 0, 0, :2] = torch.tensor([0, PIXEL_MAX], dtype=torch.uint8)
    return tinted, torch.arange(_N).square() % _CLASSES


def pixels_are_in_range(case: ReaderCase) -> None:
    """Black is 0 and white 1, or 255 where pixels are 8-bit."""
    images = case.read_back().images
    known = images.is_floating_point() or images.dtype == torch.uint8
    hold(known, f"pixels of {images.dtype} came back")
    low, high = float(to_floats(images).min()), float(to_floats(images).max())
    hold((low, high) == (0.0, 1.0), f"pixels from {low:g} to {high:g}")


def keeps_the_order(case: ReaderCase) -> None:
    """Images come back in the order in which they were written."""
    places = _places(case, case.read_back())
    hold(places == list(range(_N)), f"images came back in the order {places}")


def labels_stay_with_their_images(case: ReaderCase) -> None:
    """Every image comes back with the label that it was written with."""
    found = case.read_back()
    labels = written(case.shape)[1][_places(case, found)]
    wrong = int((labels != found.labels).sum())
    hold(wrong == 0, f"{wrong} of {len(labels)} images came back with another label")


def keeps_the_channels(case: ReaderCase) -> None:
    """Red, green and blue stay in this order."""
    channels = to_floats(case.read_back().images).mean(dim=(0, 2, 3)).tolist()
    falls = channels == sorted(channels, reverse=True)
    hold(falls, f"channels of {', '.join(f'{mean:.2f}' for mean in channels)} instead of falling")


def gives_the_same_sha256(case: ReaderCase) -> None:
    """The images have the hash that they have in memory, whatever the format."""
    images, labels = written(case.shape)
    expected = make_image_set("written", to_floats(images), labels, _CLASSES).sha256
    found = case.read_back()
    try:
        sha256 = make_image_set("read", to_floats(found.images), found.labels, _CLASSES).sha256
    except DataError as error:
        raise AssertionError(f"no image set can be made of it: {error}") from error
    hold(sha256 == expected, f"sha256 {sha256[:12]} instead of {expected[:12]}")


def parts_are_as_the_whole(case: ReaderCase) -> None:
    """Whichever images are asked for together, in whatever order, each is the same."""
    with case.file_read() as found:
        whole = in_memory(found.images)
        backwards, mask = torch.arange(_N).flip(0), torch.arange(_N) % 2 == 0
        for where in (backwards, mask, slice(3, 5), torch.tensor([5])):
            same = torch.equal(found.images[where], whole[where])
            hold(same, f"images {torch.arange(_N)[where].tolist()} are others when read together")


def splits_share_no_image(case: ReaderCase) -> None:
    """No image of the test split is in another split."""
    if case.splits is None:
        raise AssertionError("it has no splits")
    splits = {name: _keys(in_memory(examples.images)) for name, examples in case.splits().items()}
    test = splits.pop("test")
    hold(bool(test) and bool(splits), "there is no test split, or no other")
    for name, images in splits.items():
        shared = len(test & images)
        hold(shared == 0, f"{shared} images of the test split are in the split {name!r}")


def _places(case: ReaderCase, found: Loaded) -> list[int]:
    """Return which written image each one is, by the shape of its brightness alone."""
    hold(len(found.images) == _N, f"{len(found.images)} images came back instead of {_N}")
    return (_shapes(found.images) @ _shapes(written(case.shape)[0]).T).argmax(dim=1).tolist()


def _shapes(images: Tensor) -> Tensor:
    brightness = images.float().mean(dim=1).flatten(1)
    return functional.normalize(brightness - brightness.mean(dim=1, keepdim=True), dim=1)


def _keys(images: Tensor) -> set[bytes]:
    whole = (to_floats(images) * PIXEL_MAX).round().to(torch.uint8)
    return {image.numpy().tobytes() for image in whole}


_FORMAT_LAWS = (
    pixels_are_in_range,
    keeps_the_order,
    labels_stay_with_their_images,
    keeps_the_channels,
    gives_the_same_sha256,
    parts_are_as_the_whole,
)
_OF_FORMATS = tuple(law.__name__ for law in _FORMAT_LAWS)

READER_LAWS: dict[str, Law[ReaderCase]] = {
    law.__name__: law for law in (*_FORMAT_LAWS, splits_share_no_image)
}
"""What every reader keeps, by name."""
