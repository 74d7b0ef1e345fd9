"""What a bundle is: an archive of a few members, whose bytes follow from what is in them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFREG
from urllib.parse import urlsplit
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import safetensors

from clbench.schema.dataclass_io import to_json
from clbench.schema.errors import BadValueError, WeightsError
from clbench.schema.files import sha256_of
from clbench.schema.text import shown, visible

SUFFIX = ".clbench.zip"

BUNDLE_VERSION = 1
"""Raised when a bundle is laid out otherwise."""

MANIFEST, CARD, RECORD = "bundle.json", "card.md", "record.json"
EVIDENCE, EXTERNAL, WEIGHTS = "evidence.npz", "external.npz", "weights.safetensors"

MOST: Mapping[str, int] = {
    MANIFEST: 1 << 16,
    CARD: 1 << 20,
    RECORD: 1 << 24,
    EVIDENCE: 1 << 30,
    EXTERNAL: 1 << 30,
    WEIGHTS: 1 << 30,
}
"""Every member that there may be, in its order, with the most bytes that it may have."""

OPTIONAL = (EXTERNAL, WEIGHTS)
"""Members that a bundle may be without."""

_LONGEST_URL = 500


@dataclass(frozen=True)
class Member:
    """What the manifest says of a file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds beside its manifest, and where its weights are, "" where that is unsaid.

    Raises:
        BadValueError: The address is none.
    """

    schema_version: int
    weights_url: str
    members: dict[str, Member]

    def __post_init__(self) -> None:
        if self.weights_url:
            check_url(self.weights_url)


def pack(members: Mapping[str, bytes], weights_url: str) -> bytes:
    """Return a bundle of some members, its manifest before them; the same ones give the same bytes.

    Nothing is compressed: evidence and weights hardly could be, and nothing can swell.
    """
    held = {name: members[name] for name in MOST if name in members}
    rows = {name: Member(sha256_of(data), len(data)) for name, data in held.items()}
    manifest = to_json(Manifest(BUNDLE_VERSION, weights_url, rows))
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in {MANIFEST: manifest, **held}.items():
            archive.writestr(_entry(name), data)
    return file.getvalue()


def _entry(name: str) -> ZipInfo:
    """Return the entry of a file, without the time and the system of who packs it."""
    entry = ZipInfo(name)
    entry.compress_type = ZIP_STORED
    entry.create_system = 3  # unix, everywhere
    entry.external_attr = (S_IFREG | 0o644) << 16
    return entry


def check_url(url: str) -> None:
    """Check that a text is an address that a reader can be shown.

    Raises:
        BadValueError: It is none of https.
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "https" and bool(parts.hostname) and len(url) <= _LONGEST_URL
    except (ValueError, AttributeError):  # no address, no text
        is_one = False
    if not is_one or visible(url) != url or any(one.isspace() or one in '<>"`|\\' for one in url):
        raise BadValueError(
            f"weights_url must read like https://HOST/PATH, got {shown(url)}; give where anybody "
            "can fetch the weights"
        )


def check_weights(path: Path) -> None:
    """Check that a file is one of safetensors, and nothing else as well: no pickle, no archive.

    Raises:
        WeightsError: It is not.
    """
    try:
        with safetensors.safe_open(path, framework="np"):
            pass
        with path.open("rb") as file:
            is_plain = file.read(2) != b"PK"
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read: {error.strerror or error}") from error
    except safetensors.SafetensorError:
        is_plain = False
    if not is_plain:
        raise WeightsError(
            f"weights {path} are no safetensors file, which is all that a bundle carries; say "
            "where they are with --weights-url instead"
        )
