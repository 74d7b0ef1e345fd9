"""Images and labels of the user's own, from a .npz file."""

import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from clbench.data.interface import Examples
from clbench.data.stored import Images, StoredImages, loaded_if_small
from clbench.runtime.archives import check_archive
from clbench.runtime.npy_headers import read_header
from clbench.runtime.on_disk import RowFile
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.files import DAMAGED_NPZ

Dtype = np.dtype[Any]

Array = Shaped[np.ndarray, "..."]

LAYOUT = "x uint8 or float [n, h, w, c] and y integer [n]"

KEYS = ("x", "y")

_NPY = b"\x93NUMPY"
"""How a file of one array begins."""

_LENGTHS_AT = 26
"""Where the head of a member of an archive tells how long its name and its extra field are."""

_CHUNK = 1 << 20

WRITE = "write it with numpy.savez(path, x=images, y=labels)"

PICKLED = "is a file of torch.save or pickle, of which nothing is run"

_CHANNELS = (1, 3)
"""Grey and colour; used only to notice images whose channels come first."""


def read_arrays(path: Path) -> Examples:
    """Return all examples of a .npz file with images ``x`` and labels ``y``.

    ``x`` is uint8, or float in [0, 1], of shape [n, h, w, c] (grey images have c = 1); ``y`` is
    integer, of shape [n]. Nothing is ever unpickled. What an array claims to hold is compared with
    what is there before any memory is taken. Images are given as uint8, or float32 in no checked
    range; where they are not compressed, they are read when they are asked for.

    Raises:
        DataError: The file is missing, unreadable or holds something else than the above.
    """
    name = path.name
    arrays = _read(path)
    x, y = images_of(name, arrays["x"]), labels_of(name, arrays["y"])
    if len(x) != len(y):
        raise DataError(f"x and y of {name} must be equally long, got {len(x)} and {len(y)}")
    return Examples(x, y)


def check_path(path: Path, wanted: str) -> None:
    """Check that there is a file; ``wanted`` tells what sort of file could have been there.

    Raises:
        DataError: There is none, or a folder.
    """
    if path.is_dir():
        raise DataError(f"'{path}' is a folder; --data takes {wanted}")
    if not path.is_file():
        raise DataError(f"'{path}' does not exist; check the path")


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
        mapped: dict[str, Array] = {}
        for name in archive.namelist():
            if (key := name.removesuffix(".npy")) in KEYS:
                plain = _checked(archive, archive.getinfo(name))
                if key == "x" and plain is not None:
                    start = _start(file, archive.getinfo(name)) + plain.header
                    mapped[key] = np.memmap(file, plain.dtype, "r", start, plain.shape)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        found = {key: loaded[key] if key in KEYS and key not in mapped else None for key in loaded}
    return found | mapped


class _Plain(NamedTuple):
    """An array that lies in an archive as it is, row after row, behind a ``header`` of its own."""

    shape: tuple[int, ...]
    dtype: Dtype
    header: int


def _checked(archive: ZipFile, member: ZipInfo) -> _Plain | None:
    """Check that an array is as long as its header says, without unpacking more than that.

    Return it where it need not be unpacked; its checksum is right then.

    Raises:
        BadValueError: It is longer or shorter.
        ValueError: It is no array of plain numbers.
        BadZipFile: Its checksum is wrong.
    """
    shape, dtype, is_fortran, header = read_header(archive, member)
    if dtype.hasobject:
        raise ValueError(member.filename)
    if member.compress_type != ZIP_STORED or is_fortran or header == member.file_size:
        return None
    with archive.open(member) as stream:
        while stream.read(_CHUNK):
            pass
    return _Plain(shape, dtype, header)


def _start(file: BinaryIO, member: ZipInfo) -> int:
    """Return where the content of a member begins in an archive, behind what it says of itself."""
    file.seek(member.header_offset + _LENGTHS_AT)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(file.tell()) + int(name) + int(extra)


def images_of(name: str, x: Array) -> Images:
    """Return images [n, h, w, c] as [n, c, h, w], uint8 or float32; mapped ones stay on the disk.

    Raises:
        DataError: They are of another type or shape.
    """
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
    if not isinstance(x, np.memmap):
        return _channels_first(x)
    n, h, w, c = x.shape
    file = Path(str(x.filename)).open("rb")  # noqa: SIM115 - the rows close it
    rows = RowFile(file, (h, w, c), x.dtype, offset=x.offset)
    dtype = torch.uint8 if x.dtype == np.uint8 else torch.float32
    return loaded_if_small(
        StoredImages.of(n, (c, h, w), dtype, lambda some: _channels_first(rows.read(some)))
    )


def _channels_first(x: Array) -> Tensor:
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


def labels_of(name: str, y: Array) -> Tensor:
    """Return labels [n] as int64.

    Raises:
        DataError: They are of another type or shape.
    """
    check_one_number_each(f"y of {name}", "y", y.shape)
    if y.dtype.kind not in "iu":
        raise DataError(f"y of {name} must be integer, got {y.dtype}")
    if y.ndim != 1:
        raise DataError(f"y of {name} must be [n], got shape {list(y.shape)}")
    if y.size > 0 and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"y of {name} must be class numbers, got {int(y.max())}")
    return torch.from_numpy(y.astype(np.int64))
