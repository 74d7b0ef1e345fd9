"""Where a number comes from: hashes, versions, commit and time; and files that are whole."""

import contextlib
import hashlib
import json
import os
import subprocess
import uuid
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import clbench
from clbench.errors import StorageError

_CHUNK = 1 << 20


def sha256_of(data: bytes) -> str:
    """Return the sha256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that no reader and no crash ever sees half of it.

    Raises:
        StorageError: The folder cannot be made or written, or the disk is full; what was at
            ``path`` before is still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"cannot write {path}: {error.strerror}; free some space or choose another folder "
            "with --out"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, so that whether files can be written there is known before long work.

    Raises:
        StorageError: It cannot be made, or nothing may be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make {folder}: {error.strerror}; choose another folder with --out"
        ) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(
            f"cannot write into {folder}: no permission; choose another folder with --out"
        )


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or "" where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of clbench, torch, timm and the named distributions."""
    return {"clbench": clbench.__version__} | {
        name: version_of(name) for name in ("torch", "timm", *distributions)
    }


@cache
def commit() -> str:
    """Return the git commit that this clbench was run or installed from, or "" where unknown.

    Commits are known in a source tree (``-dirty`` is appended when the package was changed since)
    and when pip installed from a git address.
    """
    package = Path(clbench.__file__).parent
    if (package.parent / ".git").exists():
        return _describe(package)
    try:
        origin = metadata.distribution("clbench").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return ""
    return str(json.loads(origin or "{}").get("vcs_info", {}).get("commit_id", ""))


def _describe(package: Path) -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = "-dirty" if git("status", "--porcelain", "--", ".", "../configs") else ""
        return git("rev-parse", "HEAD") + dirty
    except (OSError, subprocess.CalledProcessError):
        return ""


def utc_now() -> str:
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
