"""Images and labels from memory: arrays, tensors, and what can be made into one."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clbench.data.checks import PIXEL_MAX, check_scale
from clbench.data.interface import Examples
from clbench.data.readers.npz import check_one_number_each
from clbench.data.stored import Images, StoredImages, loaded_if_small
from clbench.schema.errors import DataError, describe

Array = np.ndarray[Any, np.dtype[Any]]

WANTED = "images [n, c, h, w], uint8 or floats in [0, 1], and labels [n], as arrays or tensors"


_LAYOUT: tuple[Literal["C"], Literal["W"]] = ("C", "W")
"""What torch takes as it is: in order, and writable."""


def read_memory(name: str, images: object, labels: object) -> Examples:
    """Return images, uint8 or float32, and labels, int64, of any memory layout and byte order.

    Images in a mapped file are read when they are asked for, where they are many.

    Raises:
        DataError: They are no numbers of one shape, or images on another scale than their type's.
    """
    found = Examples(_images(images), _labels(labels))
    check_scale(name, found.images)
    return found


def _images(given: object) -> Images:
    array = _array("images", given)
    if array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):  # noqa: PLR2004 - n, c, h, w
        raise DataError(
            f"images must be [n, c, h, w], got {list(array.shape)}; move the channels to the front"
        )
    if array.dtype.kind not in "iuf":
        raise DataError(f"images must be uint8 or floats in [0, 1], got {array.dtype}")
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        _check_bytes(array)
    if isinstance(given, np.memmap) and array.ndim == 4:  # noqa: PLR2004 - n, c, h, w
        return _mapped(array)
    return _tensor(array)


def _check_bytes(array: Array) -> None:
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= PIXEL_MAX:
        raise DataError(
            f"images must be uint8 or floats in [0, 1], got {array.dtype} from {array.min()} to "
            f"{array.max()}; divide them by their white, as floats"
        )


def _mapped(array: Array) -> Images:
    """Return images that lie in a mapped file, and stay there unless they are few."""
    n, c, h, w = array.shape
    dtype = torch.float32 if array.dtype.kind == "f" else torch.uint8
    return loaded_if_small(StoredImages.of(n, (c, h, w), dtype, lambda some: _tensor(array[some])))


def _tensor(array: Array) -> Tensor:
    wanted = np.float32 if array.dtype.kind == "f" else np.uint8
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused later, as inf
        return torch.from_numpy(np.require(array, wanted, _LAYOUT))


def _labels(given: object) -> Tensor:
    array = _array("labels", given)
    check_one_number_each("labels", "labels", array.shape)
    if array.dtype.kind not in "iu":
        raise DataError(f"labels must be whole numbers, got {array.dtype}")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"labels must be class numbers, got {array.max()}")
    return torch.from_numpy(np.require(array, np.int64, _LAYOUT))


def _array(what: str, given: object) -> Array:
    """Return numbers as an array; of bfloat16, which numpy has not, as float32."""
    if isinstance(given, Tensor):
        if given.layout != torch.strided or given.is_quantized or given.is_meta:
            kind = str(given.layout).removeprefix("torch.") if given.is_sparse else "unusual"
            raise DataError(f"{what} must be a plain tensor, got a {kind} one; want {WANTED}")
        plain = given.detach().cpu().resolve_conj().resolve_neg()
        found: Array = (plain.float() if plain.is_floating_point() else plain).numpy()
        return found
    try:
        array = np.asarray(given)
    except Exception as error:  # ragged lists, and objects of other packages
        raise DataError(
            f"{what} are no numbers of one shape: {describe(error)}; want {WANTED}"
        ) from error
    if array.dtype.kind not in "biuf":
        kind = type(given).__name__ if array.ndim == 0 else f"{array.dtype}"
        raise DataError(f"{what} must be numbers, got {kind}; want {WANTED}")
    return array
