"""A bundle that anybody may have made: nothing in it is believed, and nothing is run.

The bytes of a bundle follow from its members and its manifest. So a bundle is what packing its
members gives again, and everything else is refused, whatever else there may be in an archive.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from clbench.leaderboard.bundles.layout import (
    BUNDLE_VERSION,
    MANIFEST,
    MOST,
    OPTIONAL,
    Manifest,
    Member,
    pack,
)
from clbench.runtime.archives import check_archive
from clbench.schema.dataclass_io import from_table, parse_json
from clbench.schema.errors import BadValueError, ClbenchError, RecordError
from clbench.schema.files import DAMAGED_NPZ, sha256_of
from clbench.schema.text import cut, shown

_LARGEST = sum(MOST.values()) + (1 << 16)

_ENCRYPTED = 0x1


@dataclass(frozen=True, eq=False)
class Bundle:
    """What was read: files by their names, each as its manifest has it."""

    path: Path
    members: Mapping[str, bytes]
    weights_url: str


_FAULTS: tuple[tuple[Callable[[ZipInfo], bool], str], ...] = (
    (lambda one: S_ISLNK(one.external_attr >> 16), "is a link"),
    (lambda one: one.is_dir() or not S_ISREG(one.external_attr >> 16), "is no plain file"),
    (lambda one: bool(one.flag_bits & _ENCRYPTED), "is encrypted"),
    (lambda one: one.compress_type != ZIP_STORED, "is compressed"),
    (lambda one: one.file_size != one.compress_size, "is of two sizes"),
    (lambda one: one.file_size > MOST[one.filename], "is too large"),
)
"""What a member cannot be."""


def read_bundle(path: Path) -> Bundle:
    """Return what a bundle holds.

    Raises:
        RecordError: It cannot be read, or is not to the byte what ``pack`` makes; in one line.
    """
    try:
        data = _bytes_of(path)
        members = _unpacked(data)
        manifest = _manifest_in(members)
        if pack(members, manifest.weights_url) != data:
            raise BadValueError("has something before, between or behind its files")
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except ClbenchError as error:
        raise _refused(path, str(error)) from error
    return Bundle(path, members, manifest.weights_url)


def _refused(path: Path, why: str) -> RecordError:
    return RecordError(f"bundle {path} {why}; clbench bundle RECORD makes one")


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise BadValueError("is a folder")
    if path.exists() and not path.is_file():
        raise BadValueError("is no plain file")
    if (size := path.stat().st_size) > _LARGEST:
        raise BadValueError(f"has {size:,} bytes, more than any bundle")
    return path.read_bytes()


def _unpacked(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive, whose places are looked at before any is read.

    Raises:
        BadValueError: There are others than a bundle has, or one is no plain file.
    """
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive, len(data))
            return {one.filename: archive.read(one) for one in archive.infolist()}
    except BadValueError:
        raise
    except (*DAMAGED_NPZ, NotImplementedError) as error:
        raise BadValueError("is cut off, damaged or no archive") from error


def _check_entries(archive: ZipFile, size: int) -> None:
    entries = archive.infolist()
    for one in entries:
        if one.filename not in MOST:
            raise BadValueError(f"holds {shown(cut(one.filename))}, which no bundle does")
    check_archive(archive, size)
    there = {one.filename for one in entries}
    if missing := [name for name in MOST if name not in there and name not in OPTIONAL]:
        raise BadValueError(f"lacks {missing[0]!r}")
    for one in entries:
        for is_so, what in _FAULTS:
            if is_so(one):
                raise BadValueError(f"holds {one.filename!r}, which {what}")
    if sum(one.file_size for one in entries) > size:
        raise BadValueError("claims more bytes than it has")


def _manifest_in(members: Mapping[str, bytes]) -> Manifest:
    """Return a bundle's manifest, which is of the other members.

    Raises:
        ClbenchError: It is none, or of others.
    """
    try:
        table = parse_json(members[MANIFEST])
    except BadValueError as error:
        raise BadValueError(f"holds a manifest that is no JSON ({error})") from error
    version = table.get("schema_version") if isinstance(table, dict) else None
    if version != BUNDLE_VERSION:
        raise BadValueError(f"has schema version {shown(version)}, {BUNDLE_VERSION} is read")
    manifest = from_table(Manifest, table, "manifest")
    held = {
        name: Member(sha256_of(data), len(data))
        for name, data in members.items()
        if name != MANIFEST
    }
    for name in sorted({*held, *manifest.members}):
        if held.get(name) != manifest.members.get(name):
            raise BadValueError(f"holds another {shown(cut(name))} than its manifest says")
    return manifest
