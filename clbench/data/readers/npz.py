"""Images and labels of the user's own, from a .npz file."""

import math
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile, ZipInfo

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from clbench.data.interface import Examples
from clbench.runtime.archives import check_archive
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.files import DAMAGED_NPZ

Array = Shaped[np.ndarray, "..."]

LAYOUT = "x uint8 or float [n, h, w, c] and y integer [n]"

KEYS = ("x", "y")

_NPY = b"\x93NUMPY"
"""How a file of one array begins."""

WRITE = "write it with numpy.savez(path, x=images, y=labels)"

PICKLED = "is a file of torch.save or pickle, of which nothing is run"

_CHANNELS = (1, 3)
"""Grey and colour; used only to notice images whose channels come first."""


def read_arrays(path: Path) -> Examples:
    """Return all examples of a .npz file with images ``x`` and labels ``y``.

    ``x`` is uint8, or float in [0, 1], of shape [n, h, w, c] (grey images have c = 1); ``y`` is
    integer, of shape [n]. Nothing is ever unpickled. What an array claims to hold is compared with
    what is there before any memory is taken. Images are given as uint8, or float32 in no checked
    range.

    Raises:
        DataError: The file is missing, unreadable or holds something else than the above.
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
            found = _members(path, file)
    except PermissionError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except MemoryError as error:
        raise DataError(f"'{path}' does not fit into memory; give fewer images") from error
    except BadValueError as error:
        raise DataError(f"'{path}' {error}; {WRITE}") from error
    except DAMAGED_NPZ as error:
        raise DataError(
            f"'{path}' is cut off, damaged or no .npz file of plain numbers; {WRITE}"
        ) from error
    for key in KEYS:
        if not isinstance(found.get(key), np.ndarray):
            raise DataError(
                f"'{path}' has no array {key!r}, got {', '.join(sorted(found)) or 'nothing'}; "
                f"it must hold {LAYOUT}"
            )
    return found


def _members(path: Path, file: BinaryIO) -> dict[str, Any]:
    """Return the arrays ``x`` and ``y``, and None for every other member.

    Raises:
        BadValueError: A member is there twice, or claims more than it has, or than memory has.
    """
    if file.read(len(_NPY)) == _NPY:
        return {"one array without a name": None}
    with ZipFile(file) as archive:
        check_archive(archive, path.stat().st_size)
        if any(name.endswith("data.pkl") for name in archive.namelist()):
            raise BadValueError(PICKLED)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if twice := next((key for key in KEYS if names.count(key) > 1), None):
            raise BadValueError(f"holds {twice!r} twice, so that nobody can say which is meant")
        for name in archive.namelist():
            if name.removesuffix(".npy") in KEYS:
                _check_claims(archive, archive.getinfo(name))
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return {key: loaded[key] if key in KEYS else None for key in loaded}


def _check_claims(archive: ZipFile, member: ZipInfo) -> None:
    """Check that an array is as long as its header says, without unpacking more than that.

    Raises:
        BadValueError: It is longer or shorter.
        ValueError: It is no array of plain numbers.
    """
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_2_0
        if version == (1, 0):
            read = np.lib.format.read_array_header_1_0
        shape, _, dtype = read(stream)
        there = member.file_size - stream.tell()
    if dtype.hasobject:
        raise ValueError(member.filename)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != there:
        key = member.filename.removesuffix(".npy")
        raise BadValueError(
            f"claims {list(shape)} of {dtype} in {key!r}, {claimed:,} bytes, but has {there:,}"
        )


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


def check_one_number_each(what: str, array: str, shape: tuple[int, ...]) -> None:
    """Check that labels are no rows of numbers, such as one for each class.

    Raises:
        DataError: They are; the message says how to make labels [n] of the ``array``.
    """
    if len(shape) == 2:  # noqa: PLR2004 - an axis for the examples, and one more
        take = f"{array}.argmax(1)" if shape[1] > 1 else f"{array}[:, 0]"
        raise DataError(f"{what} must be [n], got shape {list(shape)}: take {take}")


def _labels(name: str, y: Array) -> Tensor:
    check_one_number_each(f"y of {name}", "y", y.shape)
    if y.dtype.kind not in "iu":
        raise DataError(f"y of {name} must be integer, got {y.dtype}")
    if y.ndim != 1:
        raise DataError(f"y of {name} must be [n], got shape {list(y.shape)}")
    if y.size > 0 and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"y of {name} must be class numbers, got {int(y.max())}")
    return torch.from_numpy(y.astype(np.int64))
