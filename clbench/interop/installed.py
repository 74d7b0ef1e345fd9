"""What is installed, read from the installer's own notes without importing any of it."""

import base64
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from clbench.schema.errors import InstallationError

ROBUSTBENCH = "robustbench"
TORCHATTACKS = "torchattacks"

_SPECIAL = re.compile(r"[^\w./:=@+,-]")
"""What a shell would not take as it stands."""


class RobustbenchFiles(NamedTuple):
    """The state of robustbench's files, each named as in the RECORD of its wheel.

    Wheels of torchattacks hold an old copy of part of robustbench, and the last one to be installed
    overwrites the other's files. Uninstalling either takes away files of both.
    """

    version: str
    """Of the robustbench that the installer knows of; "" where it knows of none."""
    overwritten: tuple[str, ...] = ()
    """Files that are torchattacks' copy."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Files that differ from both, such as those somebody edited."""


class Unmet(NamedTuple):
    """A requirement that what is installed does not meet."""

    distribution: str
    requirement: str
    found: str
    """The installed version; "" where it is not installed."""


def install_line(*arguments: str) -> str:
    """Return the command that installs ``arguments`` into this environment, quoted for a shell."""
    words = " ".join(f'"{one}"' if _SPECIAL.search(one) else one for one in arguments)
    return f"pip install {words}" if find_spec("pip") else f"uv pip install {words}"


def uninstall_line(distribution: str) -> str:
    """Return the command that removes ``distribution`` from this environment."""
    if find_spec("pip"):
        return f"pip uninstall --yes {distribution}"
    return f"uv pip uninstall {distribution}"


def reinstall_line(requirement: str) -> str:
    """Return the command that installs one distribution again and touches no other."""
    return install_line("--force-reinstall", "--no-deps", requirement)


def reinstall_clbench_line() -> str:
    """Return the command that installs this clbench again, from where it came from."""
    distribution = _find_distribution("clbench")
    origin = json.loads((distribution and distribution.read_text("direct_url.json")) or "{}")
    place = unquote(str(origin.get("url", "clbench"))).removeprefix("file://")
    editable = origin.get("dir_info", {}).get("editable", False)
    return install_line("--force-reinstall", "--no-deps", *["--editable"] * editable, place)


def requirement_of(distribution: str) -> str:
    """Return what clbench requires of ``distribution``, such as ``robustbench==1.1.1``.

    Where clbench runs from a source tree that was never installed, that is its bare name.
    """
    try:
        wanted = metadata.requires("clbench") or []
    except metadata.PackageNotFoundError:
        wanted = []
    start = re.compile(rf"{re.escape(distribution)}(?![\w.-])", re.IGNORECASE)
    return next(
        (line.partition(";")[0].strip() for line in wanted if start.match(line)), distribution
    )


def unmet(distribution: str) -> list[Unmet]:
    """Return what ``distribution`` says it needs, extras apart, and has not got.

    Raises:
        InstallationError: It is not installed, or the library that reads requirements is not.
    """
    try:
        from packaging.requirements import Requirement

        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError as error:
        line = install_line(requirement_of(distribution))
        raise InstallationError(f"{distribution} is not installed; run: {line}") from error
    except ImportError as error:
        raise InstallationError(f"{error}; run: {install_line('packaging')}") from error
    wanted = [Requirement(line) for line in lines]
    due = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = {one: _find_distribution(one.name) for one in due}
    return [
        Unmet(one.name, f"{one.name}{one.specifier}", there.version if there else "")
        for one, there in found.items()
        if there is None or not one.specifier.contains(there.version, prereleases=True)
    ]


def find_installed(module: str) -> ModuleSpec | None:
    """Return where ``import module`` would find a package, whatever is loaded already.

    A bare folder of that name on the path is no package.
    """
    specs = (finder.find_spec(module, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec and spec.origin), None)


def robustbench_helper(name: str) -> str:
    """Return one of the text files that robustbench's wheel brings, without importing it.

    Raises:
        InstallationError: It is not there.
    """
    spec = find_installed(ROBUSTBENCH)
    folder = Path(spec.origin).parent if spec and spec.origin else Path(ROBUSTBENCH)
    try:
        return (folder / "helper_files" / name).read_text(encoding="utf-8")
    except OSError as error:
        line = install_line(requirement_of(ROBUSTBENCH))
        raise InstallationError(f"robustbench's {name} is not there; run: {line}") from error


def robustbench_files() -> RobustbenchFiles:
    """Return which files of robustbench are not its own, by the hashes in its own RECORD.

    Only files that torchattacks ships as well are read.
    """
    theirs = _recorded(_find_distribution(TORCHATTACKS))
    spec = find_installed(ROBUSTBENCH)
    distribution = _find_distribution(ROBUSTBENCH)
    if distribution is None:
        return RobustbenchFiles("", overwritten=tuple(theirs) if spec else ())
    own = _recorded(distribution)
    origin = spec.origin if spec else None
    folder = Path(origin).parents[1] if origin else Path(str(distribution.locate_file("")))
    missing = tuple(name for name in own if not (folder / name).is_file())
    shared = (own.keys() & theirs.keys()).difference(missing)
    found = {name: _sha256(folder / name) for name in sorted(shared)}
    foreign = {name: digest for name, digest in found.items() if digest != own[name]}
    return RobustbenchFiles(
        version=distribution.version,
        overwritten=tuple(name for name, digest in foreign.items() if digest == theirs[name]),
        missing=missing,
        changed=tuple(name for name, digest in foreign.items() if digest != theirs[name]),
    )


def require_robustbench() -> None:
    """Return when robustbench is installed with its own files.

    Raises:
        InstallationError: It is missing, overwritten or incomplete; the message ends with the
            command that mends it.
    """
    if found := complaint(robustbench_files()):
        raise InstallationError(found)


def complaint(files: RobustbenchFiles) -> str:
    """Return one line on what is wrong with robustbench and what mends it, or "" where it is sound.

    >>> complaint(RobustbenchFiles("1.1.1"))
    ''
    """
    if not files.version:
        what = (
            "only torchattacks' old copy of robustbench is"
            if files.overwritten
            else ("robustbench is not")
        )
        return f"{what} installed; run: {install_line(requirement_of(ROBUSTBENCH))}"
    mending = reinstall_line(f"{ROBUSTBENCH}=={files.version}")
    for names, what in (
        (files.overwritten, "overwritten by torchattacks"),
        (files.missing, "gone"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if names[1:] else ""
            return (
                f"robustbench {files.version} is damaged: {names[0]}{more} {what}; run: {mending}"
            )
    return ""


def _find_distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _recorded(distribution: metadata.Distribution | None) -> Mapping[str, str]:
    """Return the recorded sha256 of each file that a distribution has below robustbench/."""
    files = distribution.files if distribution else None
    return {
        str(file): file.hash.value
        for file in files or []
        if file.hash and file.hash.mode == "sha256" and file.parts[0] == ROBUSTBENCH
    }


def _sha256(path: Path) -> str:
    """Return a file's sha256 as RECORD writes it."""
    return (
        base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    )
