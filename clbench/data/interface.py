"""What a data set is, and what a reader gives."""

from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class DatasetInfo(NamedTuple):
    """What every part of clbench must agree on about a data set."""

    name: str
    shape: tuple[int, int, int]
    """Channels, height, width."""
    n_classes: int
    n_test: int


Split = Literal["train", "validation", "test"]


class Examples(NamedTuple):
    """Images and labels as a reader found them; ``make_image_set`` checks them."""

    images: Tensor
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
