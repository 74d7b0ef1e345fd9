"""Images and labels of the user's own, from a .npz file."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from clbench.data.image_set import ImageSet, check_labels, count_examples, make_image_set, to_floats
from clbench.data.interface import Examples
from clbench.schema.errors import DataError
from clbench.schema.files import DAMAGED_NPZ

Array = Shaped[np.ndarray, "..."]

LAYOUT = "x uint8 or float [n, h, w, c] and y integer [n]"

_CHANNELS = (1, 3)
"""Grey and colour; used only to notice images whose channels come first."""


def load_arrays(
    path: Path, n_examples: int | None = None, *, n_classes: int | None = None
) -> ImageSet:
    """Return the first examples of a .npz file with images ``x`` and labels ``y``.

    ``x`` is uint8, or float in [0, 1], of shape [n, h, w, c] (grey images have c = 1); ``y`` is
    integer, of shape [n]. Nothing is ever unpickled. The set is called after the file, its ending
    included, so that it is never taken for a data set that clbench knows.

    Args:
        path: The file.
        n_examples: How many to take from the beginning; all of them where None.
        n_classes: How many classes there are; where None, the largest label of the whole file
            plus 1, which does not depend on ``n_examples``.

    Raises:
        DataError: The file is missing, unreadable or holds something else than the above.
        BadValueError: ``n_examples`` is not from 1 to what there is.
    """
    name = path.name
    images, labels = read_arrays(path)
    classes = max(int(labels.max()), 0) + 1 if n_classes is None else n_classes
    check_labels(name, labels, classes)
    n = count_examples(name, n_examples, available=len(labels))
    return make_image_set(name, to_floats(images[:n]), labels[:n], classes)


def read_arrays(path: Path) -> Examples:
    """Return all examples of such a file: images uint8, or float32 in no checked range.

    Raises:
        DataError: The file is missing, unreadable or holds something else.
    """
    name = path.name
    arrays = _read(path)
    x, y = _images(name, arrays["x"]), _labels(name, arrays["y"])
    if len(x) != len(y):
        raise DataError(f"x and y of {name} must be equally long, got {len(x)} and {len(y)}")
    return Examples(x, y)


def check_path(path: Path, wanted: str) -> None:
    """Check that there is a file; ``wanted`` tells what sort of file could have been there.

    Raises:
        DataError: There is none, or a folder.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"'{path}' {what}; --data takes {wanted}")


def _read(path: Path) -> dict[str, Array]:
    check_path(path, f"a .npz file with {LAYOUT}")
    try:
        with path.open("rb") as file:
            found = _members(np.load(file, allow_pickle=False))
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except DAMAGED_NPZ as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no .npz file of plain numbers; "
            f"write it with numpy.savez(path, x=images, y=labels)"
        ) from error
    for key in ("x", "y"):
        if not isinstance(found.get(key), np.ndarray):
            raise DataError(
                f"'{path}' has no array {key!r}, got {', '.join(sorted(found)) or 'nothing'}; "
                f"it must hold {LAYOUT}"
            )
    return found


def _members(loaded: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever numpy found in the file
    if isinstance(loaded, np.ndarray):  # a .npy file
        return {"one array without a name": None}
    with loaded:
        return {key: loaded[key] if key in ("x", "y") else None for key in loaded}


def _images(name: str, x: Array) -> Tensor:
    shape = list(x.shape)
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"x of {name} must be uint8, or float in [0, 1], got {x.dtype}")
    if x.ndim != 4:  # noqa: PLR2004 - the axes n, h, w, c
        hint = "; grey images are [n, h, w, 1]" if x.ndim == 3 else ""  # noqa: PLR2004 - no channel axis
        raise DataError(f"x of {name} must be [n, h, w, c], got shape {shape}{hint}")
    if x.shape[1] in _CHANNELS and x.shape[3] not in _CHANNELS:
        raise DataError(
            f"x of {name} must be [n, h, w, c], got shape {shape}; move the channels to the end"
        )
    if x.size == 0:
        raise DataError(f"{name} holds no images, got x of shape {shape}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused later, as inf
        numbers = x if x.dtype == np.uint8 else x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(numbers)).permute(0, 3, 1, 2)


def _labels(name: str, y: Array) -> Tensor:
    if y.dtype.kind not in "iu":
        raise DataError(f"y of {name} must be integer, got {y.dtype}")
    if y.ndim != 1:
        raise DataError(f"y of {name} must be [n], got shape {list(y.shape)}")
    if y.size > 0 and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"y of {name} must be class numbers, got {int(y.max())}")
    return torch.from_numpy(y.astype(np.int64))
