"""Objects from a user's own code: ``FILE.py:NAME``, ``pkg.mod:NAME``, and entry points."""

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, reduce
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from clbench.runtime.local_imports import local_imports
from clbench.schema.errors import ClbenchError, describe
from clbench.schema.files import sha256_of_file
from clbench.schema.names import closest
from clbench.schema.provenance import version_of

_INSTALLED = ("site-packages", "dist-packages", sysconfig.get_path("stdlib"))
"""Parts of the paths of modules that are not a user's own."""

_OURS = Path(__file__).parents[1]


class Code(NamedTuple):
    """Code of a user's own: its file, the folder of its modules, and what was loaded before it."""

    file: Path
    folder: Path
    before: frozenset[str]

    def files(self) -> dict[str, str]:
        """Return the sha256 of every file that the code is made of, by its path from the folder.

        They are those that it imports, and what else was loaded from the folder since: modules may
        be imported as late as in the first forward pass. Installed packages do not count.
        """
        since = (module for name, module in _loaded() if name not in self.before)
        paths = {*local_imports(self.file, self.folder), *_local(since, self.folder)}
        below = (path for path in paths if path.is_relative_to(self.folder))
        return {
            path.relative_to(self.folder).as_posix(): sha256_of_file(path) for path in sorted(below)
        }


class UserObject(NamedTuple):
    """What a user's code has under a name.

    ``source`` says where it came from, in one line; ``code`` is None for an installed package.
    """

    value: Any
    source: str
    code: Code | None


def registered(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages registered under an entry-point group, by name."""
    return _registered(group, tuple((place, _changed(place)) for place in sys.path))


@cache
def _registered(group: str, _places: tuple[tuple[str, int], ...]) -> dict[str, EntryPoint]:
    """Read it anew only where packages may have come or gone: it opens a file of each."""
    return {point.name: point for point in entry_points(group=group)}


def _changed(place: str) -> int:
    try:
        return Path(place or ".").stat().st_mtime_ns
    except OSError:
        return 0


def describe_with_line(error: BaseException) -> str:
    """Return what an error says, and the last line of a user's own code that led to it."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        foreign = path.is_relative_to(_OURS) or any(part in frame.filename for part in _INSTALLED)
        if not foreign and path.suffix == ".py":
            return f"{describe(error)} ({path.name}, line {frame.lineno})"
    return describe(error)


def load_registered(what: str, point: EntryPoint, error: type[ClbenchError]) -> UserObject:
    """Import what another package registered; ``what`` begins the message of an error.

    Raises:
        ClbenchError: Of the given kind: it cannot be imported.
    """
    try:
        from clbench.runtime.as_found import defaults_as_found  # noqa: PLC0415 - loads torch

        with defaults_as_found():
            value = point.load()
    except Exception as caught:
        raise error(f"{what}: importing '{point.value}' raised {describe(caught)}") from caught
    package = point.dist.name if point.dist else ""
    source = f"{point.value} of {package} {version_of(package)}".strip()
    return UserObject(value, source, None)


def is_own(name: str, group: str) -> bool:
    """Say whether a name is of code outside of clbench: of a file, or registered under a group."""
    return ".py:" in name or name in registered(group)


def fingerprint(name: str) -> tuple[str, ...]:
    """Return what changes whenever one of the files of ``FILE.py:NAME`` is edited."""
    file = Path(name.rpartition(":")[0]).resolve()
    return tuple(map(sha256_of_file, local_imports(file, file.parent))) if file.is_file() else ()


def load_own(what: str, name: str, group: str, error: type[ClbenchError]) -> UserObject:
    """Return what ``is_own`` is true of; ``what`` begins the message of an error.

    Raises:
        ClbenchError: Of the given kind: it cannot be imported.
    """
    points = registered(group)
    if name in points:
        return load_registered(what, points[name], error)
    return import_object(what, name, error)


def import_object(what: str, name: str, error: type[ClbenchError]) -> UserObject:
    """Import ``FILE.py:NAME`` or ``pkg.mod:NAME``; ``what`` begins the message of an error.

    Modules beside the file, or in the working folder, can be imported by it. The source names the
    file's hash, so that the code and the same code after an edit can be told apart.

    Raises:
        ClbenchError: Of the given kind: there is no such file, module or name.
    """
    where, attribute, in_file = _read(what, name, error)
    file = Path(where)
    folder, before = file.resolve().parent if in_file else Path.cwd(), frozenset(sys.modules)
    with importable(folder):
        if in_file:
            _make_way(local_imports(file.resolve(), folder), folder)
        module = _import(what, where, file if in_file else None, error)
        value = _attribute(what, module, attribute, error)
    path = Path(module.__file__ or "").resolve()
    digest = f" sha256:{sha256_of_file(path)[:12]}" if path.is_file() else ""
    source = f"{file.name if in_file else where}:{attribute}{digest}"
    return UserObject(value, source, Code(path, folder, before))


def check_there(what: str, name: str, error: type[ClbenchError]) -> None:
    """Check that the file or the package of ``import_object`` is there; nothing of it is run.

    Raises:
        ClbenchError: Of the given kind: it is not.
    """
    where, _, in_file = _read(what, name, error)
    package = where.partition(".")[0]
    if in_file or package in sys.modules:
        return
    with importable(Path.cwd()):
        found = find_spec(package)
    if found is None:
        raise error(f"{what}: there is no module '{package}'; write FILE.py:NAME for a file")


def _read(what: str, name: str, error: type[ClbenchError]) -> tuple[str, str, bool]:
    """Return the file or module, the name in it, and whether it is a file, which must be there."""
    where, _, attribute = name.rpartition(":")
    if not where or not attribute:
        raise error(f"{what} names nothing in a file; write it as FILE.py:NAME")
    file = Path(where)
    in_file = file.suffix == ".py" or len(file.parts) > 1
    if in_file and not file.is_file():
        raise error(f"{what}: there is no file '{where}'; check the path")
    return where, attribute, in_file


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported for a while; what torch does by default stays."""
    from clbench.runtime.as_found import defaults_as_found  # noqa: PLC0415 - loads torch

    sys.path.insert(0, str(folder))
    try:
        with defaults_as_found():
            yield
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(str(folder))


_RUN_AS: dict[Path, str] = {}
"""The sha256 of users' files, as they were when they were imported."""


def _make_way(files: Sequence[Path], folder: Path) -> None:
    """Forget modules of users that are no longer what an import from the folder would give.

    They were edited since, or are of another folder and only called the same.
    """
    now = {path: sha256_of_file(path) for path in files}
    edited = any(_RUN_AS.get(path, sha256) != sha256 for path, sha256 in now.items())
    for path in files:
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        loaded = _path_of(sys.modules[name]) if name in sys.modules else None
        if loaded in _RUN_AS and (edited or loaded != path):
            del sys.modules[name]
    _RUN_AS.update(now)


def _loaded() -> list[tuple[str, object]]:
    """Return what is loaded, by name: anybody may put there what is no module."""
    return list(sys.modules.items())


def _local(modules: Iterable[object], folder: Path) -> Iterator[Path]:
    """Yield the files of modules that lie in a folder and are not installed there."""
    for module in modules:
        place = getattr(module, "__file__", None) or ""
        # thousands of modules are installed: they are told by their names, without asking the disk
        if place.endswith(".py") and not any(part in place for part in _INSTALLED):
            path = _path_of(module)
            if path.is_relative_to(folder) and path.is_file():
                yield path


def _path_of(module: object) -> Path:
    return Path(getattr(module, "__file__", None) or "").resolve()


def _import(what: str, where: str, file: Path | None, kind: type[ClbenchError]) -> ModuleType:
    try:
        return _run_file(file) if file else importlib.import_module(where)
    except (Exception, SystemExit) as error:
        missing = file is None and isinstance(error, ImportError)
        hint = "; write FILE.py:NAME for a file" if missing else ""
        raise kind(f"{what}: importing '{where}' raised {describe(error)}{hint}") from error


def _run_file(file: Path) -> ModuleType:
    module_name = f"clbench_user_{file.stem}"
    loader = SourceFileLoader(module_name, str(file))
    spec = spec_from_loader(module_name, loader)
    assert spec, "a loader was given"
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _attribute(what: str, module: ModuleType, attribute: str, kind: type[ClbenchError]) -> Any:  # noqa: ANN401 - user's
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        near = closest(attribute, [known for known in vars(module) if not known.startswith("_")])
        hint = f"did you mean '{near}'?" if near else "check its name"
        raise kind(f"{what}: there is no '{attribute}' in it; {hint}") from error
