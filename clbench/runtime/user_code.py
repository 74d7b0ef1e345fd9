"""Objects from a user's own code: ``FILE.py:NAME``, ``pkg.mod:NAME``, and entry points."""

import importlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from clbench.schema.errors import ClbenchError, describe
from clbench.schema.files import sha256_of_file
from clbench.schema.names import closest
from clbench.schema.provenance import version_of

_INSTALLED = ("site-packages", "dist-packages", sysconfig.get_path("stdlib"))
"""Parts of the paths of modules that are not a user's own."""


class UserObject(NamedTuple):
    """What a user's code has under a name.

    ``source`` says where it came from, in one line; ``folder`` is where modules of the same code
    lie, None for an installed package.
    """

    value: Any
    source: str
    folder: Path | None


def registered(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages registered under an entry-point group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def load_registered(what: str, point: EntryPoint, error: type[ClbenchError]) -> UserObject:
    """Import what another package registered; ``what`` begins the message of an error.

    Raises:
        ClbenchError: Of the given kind: it cannot be imported.
    """
    try:
        value = point.load()
    except Exception as caught:
        raise error(f"{what}: importing '{point.value}' raised {describe(caught)}") from caught
    package = point.dist.name if point.dist else ""
    source = f"{point.value} of {package} {version_of(package)}".strip()
    return UserObject(value, source, None)


def is_own(name: str, group: str) -> bool:
    """Say whether a name is of code outside of clbench: of a file, or registered under a group."""
    return ".py:" in name or name in registered(group)


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
    where, _, attribute = name.rpartition(":")
    if not where or not attribute:
        raise error(f"{what} names nothing in a file; write it as FILE.py:NAME")
    file = Path(where)
    in_file = file.suffix == ".py" or len(file.parts) > 1
    if in_file and not file.is_file():
        raise error(f"{what}: there is no file '{where}'; check the path")
    folder = file.resolve().parent if in_file else Path.cwd()
    with importable(folder):
        module = _import(what, where, file if in_file else None, error)
        value = _attribute(what, module, attribute, error)
    code = file if in_file else Path(module.__file__ or "")
    digest = f" sha256:{sha256_of_file(code)[:12]}" if code.is_file() else ""
    source = f"{code.name if in_file else where}:{attribute}{digest}"
    return UserObject(value, source, folder)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(str(folder))


def local_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every imported module that lies in a folder, by its path inside.

    Installed packages do not count, even where the folder holds the environment.
    """
    places = {getattr(module, "__file__", None) or "" for module in tuple(sys.modules.values())}
    # thousands of modules are installed: they are told by their names, without asking the disk
    own = (Path(place) for place in places if not any(part in place for part in _INSTALLED))
    local = (path.resolve() for path in own if path.suffix == ".py" and path.is_file())
    files = {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in local
        if path.is_relative_to(folder)
    }
    return dict(sorted(files.items()))


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
