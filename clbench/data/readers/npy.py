"""Images of the user's own from a .npy file, with the labels in another one beside it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.data.interface import Examples
from clbench.data.readers import npz
from clbench.schema.errors import DataError
from clbench.schema.files import DAMAGED_NPZ

LAYOUT = "images [n, h, w, c], uint8 or float, and labels [n] beside it in labels.npy or y.npy"

_LABELS = ("labels.npy", "y.npy")
"""The first is what sets of corrupted CIFAR images have."""

_ALIKE = (("images", "labels"), ("x", "y"))
"""How names of images become names of their labels: ``x_test.npy`` is beside ``y_test.npy``."""


def read_npy(path: Path, _n_channels: int | None = None) -> Examples:
    """Return the images of a file, uint8 or float32 in no checked range, and their labels.

    They are read when they are asked for, where they are many. Nothing is ever unpickled.

    Raises:
        DataError: There are no labels beside it, a file is damaged, or they do not belong together.
    """
    npz.check_path(path, f"a .npy file with {LAYOUT}")
    beside = labels_of(path)
    x, y = npz.images_of(path.name, _mapped(path)), npz.labels_of(beside.name, _mapped(beside))
    if len(x) != len(y):
        raise DataError(
            f"{path.name} and {beside.name} must be equally long, got {len(x)} and {len(y)}"
        )
    return Examples(x, y)


def labels_of(path: Path) -> Path:
    """Return the file beside one with images in which their labels are.

    Raises:
        DataError: There is none.
    """
    named = [path.stem.replace(images, labels, 1) + ".npy" for images, labels in _ALIKE]
    for name in (*named, *_LABELS):
        if name != path.name and (found := path.with_name(name)).is_file():
            return found
    raise DataError(
        f"'{path}' has no labels beside it; write them [n] into {path.with_name(_LABELS[0])}"
    )


def _mapped(path: Path) -> NDArray[np.generic]:
    try:
        found: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED_NPZ as error:
        raise DataError(f"'{path}' is cut off, damaged or no .npy file of plain numbers") from error
    return found
