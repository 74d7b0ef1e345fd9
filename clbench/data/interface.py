"""What a data set is, and what a reader gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from clbench.data.stored import Images


@dataclass(frozen=True)
class DatasetInfo:
    """What every part of clbench must agree on about a data set."""

    name: str
    shape: tuple[int, int, int]
    """Channels, height, width."""
    n_classes: int
    n_test: int
    reader: "Reader | None" = None
    """Who reads its splits; None for a user's own images."""
    packaged: bool = False
    """Whether a library brings it, so that nobody needs to say where it is."""
    class_names: tuple[str, ...] = ()
    """In the order of their numbers; none where they are numbers."""
    known: tuple[str, ...] = ()
    """The sha256 of first test images of it in a file, by which the file's set bears its name."""


Split = Literal["train", "validation", "test"]


class Examples(NamedTuple):
    """Images and labels as a reader found them; ``make_image_set`` checks them."""

    images: Images
    """uint8, or floats in [0, 1]; one [c, h, w] image per label."""
    labels: Tensor


@runtime_checkable
class Reader(Protocol):
    """Reads one split of a data set in the order of its source."""

    def __call__(
        self, info: DatasetInfo, split: Split, *, data_dir: Path | None, download: bool
    ) -> Examples:
        """Return the split; ``data_dir`` and ``download`` as in ``load_test_set``."""
        ...
