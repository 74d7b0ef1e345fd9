"""What arrays in an archive claim to be, read before any memory is taken for them."""

import math
from collections.abc import Collection
from tokenize import TokenError
from typing import Any, NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np

from clbench.schema.errors import BadValueError
from clbench.schema.text import cut

SUFFIX = ".npy"
"""How the names of arrays end in an archive."""


class Header(NamedTuple):
    """What an array says of itself, in so many bytes (``size``) before its numbers."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    is_fortran: bool
    size: int

    def __str__(self) -> str:
        kind = "text" if self.dtype.kind == "U" else str(self.dtype)
        return f"{kind} {list(self.shape)}"


def read_header(archive: ZipFile, member: ZipInfo) -> Header:
    """Return what an array says of itself, which has exactly as many numbers as it claims.

    Of Python's objects, nobody knows how many bytes they take.

    Raises:
        BadValueError: It has more or fewer; the message goes on from the archive's name.
        ValueError: It is no array.
    """
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_2_0
        if version == (1, 0):
            read = np.lib.format.read_array_header_1_0
        try:
            shape, is_fortran, dtype = read(stream)
        except (TokenError, MemoryError, RecursionError) as error:  # of Python, which reads it
            raise ValueError(f"the header of {member.filename} cannot be read") from error
        header = Header(shape, dtype, is_fortran, stream.tell())
    key = cut(member.filename.removesuffix(SUFFIX))
    claimed, there = math.prod(shape) * dtype.itemsize, member.file_size - header.size
    if claimed != there and not dtype.hasobject:
        raise BadValueError(
            f"claims {list(shape)} of {dtype} in {key!r}, {claimed:,} bytes, but has {there:,}"
        )
    return header


def headers_in(archive: ZipFile, names: Collection[str] = ()) -> dict[str, Header]:
    """Return what members of an archive say of themselves, by name; none is unpacked.

    Args:
        archive: Of arrays.
        names: Those that are asked, as far as they are there; all members where there are none.

    Raises:
        BadValueError: One is no array; the message goes on from the archive's name.
        ValueError: As ``read_header``.
    """
    found = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(SUFFIX)
        if names and name not in names:
            continue
        if name == member.filename:
            raise BadValueError(f"holds {cut(name)!r}, which is no array")
        found[name] = read_header(archive, member)
    return found
