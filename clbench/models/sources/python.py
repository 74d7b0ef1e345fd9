"""Models from a user's own code: ``FILE.py:FACTORY``, ``pkg.mod:FACTORY``, and entry points."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import nn

from clbench.schema.errors import ModelError, describe
from clbench.schema.files import sha256_of_file
from clbench.schema.names import closest
from clbench.schema.provenance import version_of

ENTRY_POINT_GROUP = "clbench.models"
"""Where other packages register a name for a factory of theirs."""


class Built(NamedTuple):
    """A user's network, and where it came from."""

    network: nn.Module
    source: str


def registered_models() -> dict[str, EntryPoint]:
    """Return the models that installed packages registered, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def build_registered(name: str, point: EntryPoint) -> Built:
    """Build the network that another package registered under ``name``.

    Raises:
        ModelError: The entry point cannot be imported, or its factory builds no network.
    """
    try:
        factory = point.load()
    except Exception as error:
        raise ModelError(
            f"model '{name}': importing '{point.value}' raised {describe(error)}"
        ) from error
    package = point.dist.name if point.dist else ""
    return Built(_call(name, factory), f"{point.value} of {package} {version_of(package)}".strip())


def build_from_code(name: str) -> Built:
    """Build the network of ``FILE.py:FACTORY`` or ``pkg.mod:FACTORY``.

    Modules beside the file, or in the working folder, can be imported by it. The source names the
    file's hash, so that a network and the same network after an edit can be told apart.

    Raises:
        ModelError: There is no such file, module or factory, or it builds no network.
    """
    where, _, attribute = name.rpartition(":")
    if not where or not attribute:
        raise ModelError(f"model '{name}' names no factory; write it as FILE.py:FACTORY")
    file = Path(where)
    in_file = file.suffix == ".py" or len(file.parts) > 1
    if in_file and not file.is_file():
        raise ModelError(f"model '{name}': there is no file '{where}'; check the path")
    with _importable(file.resolve().parent if in_file else Path.cwd()):
        module = _import(name, where, file if in_file else None)
        network = _call(name, _attribute(name, module, attribute))
    code = file if in_file else Path(module.__file__ or "")
    digest = f" sha256:{sha256_of_file(code)[:12]}" if code.is_file() else ""
    return Built(network, f"{code.name if in_file else where}:{attribute}{digest}")


def _import(name: str, where: str, file: Path | None) -> ModuleType:
    try:
        return _run_file(file) if file else importlib.import_module(where)
    except (Exception, SystemExit) as error:
        missing = file is None and isinstance(error, ImportError)
        hint = "; write FILE.py:FACTORY for a file" if missing else ""
        raise ModelError(
            f"model '{name}': importing '{where}' raised {describe(error)}{hint}"
        ) from error


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


def _attribute(name: str, module: ModuleType, attribute: str) -> Any:  # noqa: ANN401 - user's
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        near = closest(attribute, [known for known in vars(module) if not known.startswith("_")])
        hint = f"did you mean '{near}'?" if near else "check its name"
        raise ModelError(f"model '{name}': there is no '{attribute}' in it; {hint}") from error


def _call(name: str, factory: Any) -> nn.Module:  # noqa: ANN401 - whatever the user named
    wanted = "a function without arguments that returns an nn.Module"
    if isinstance(factory, nn.Module) or not callable(factory):
        kind = type(factory).__name__
        raise ModelError(f"model '{name}' must be {wanted}, got an object of type {kind}")
    try:
        network = factory()
    except (Exception, SystemExit) as error:
        raise ModelError(f"model '{name}': its factory raised {describe(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"model '{name}' must be {wanted}, it returned {type(network).__name__}")
    return network


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(str(folder))
