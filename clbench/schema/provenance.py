"""Where a number comes from: hashes, versions, commit and time; and files that are whole."""

import json
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from clbench.schema.version import __version__


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or "" where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of clbench, torch, timm and the named distributions."""
    return {"clbench": __version__} | {
        name: version_of(name) for name in ("torch", "timm", *distributions)
    }


@cache
def commit() -> str:
    """Return the git commit that this clbench was run or installed from, or "" where unknown.

    Commits are known in a source tree (``-dirty`` is appended when the package was changed since)
    and when pip installed from a git address.
    """
    package = Path(__file__).parents[1]
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
