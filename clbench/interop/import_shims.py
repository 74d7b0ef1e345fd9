"""Modules that answer for packages which others import but which are not installed."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from clbench.interop.autoattack import CLASSIC, PUBLISHED, attack_package
from clbench.interop.autoattack_class import AutoAttack
from clbench.interop.autoattack_state import EvaluationState

PKG_RESOURCES = "pkg_resources"

_SUBMODULES = (
    "autopgd_base", "checks", "fab_base", "fab_projections", "fab_pt", "other_utils", "square",
)  # fmt: skip
"""What ``import autoattack.NAME`` finds in pyautoattack; the TensorFlow parts are left out."""


def provide_autoattack() -> None:
    """Answer ``import autoattack`` with the classic class where no real one is installed.

    Raises:
        InstallationError: No AutoAttack is installed at all, or one that is of no use.
    """
    if attack_package().__name__ == CLASSIC:
        return
    modules = {
        "state": _module(f"{CLASSIC}.state", EvaluationState=EvaluationState),
        "autoattack": _module(f"{CLASSIC}.autoattack", AutoAttack=AutoAttack),
    }
    for name in _SUBMODULES:
        modules[name] = importlib.import_module(f"{PUBLISHED}.{name}")
    sys.modules[CLASSIC] = _module(CLASSIC, __path__=[], AutoAttack=AutoAttack, **modules)
    sys.modules.update({f"{CLASSIC}.{name}": module for name, module in modules.items()})


@contextmanager
def pkg_resources_answered() -> Iterator[None]:
    """Answer ``import pkg_resources`` meanwhile, where setuptools no longer brings it.

    Only ``resource_filename`` is there, the one function that robustbench calls; nothing else
    finds the module afterwards.
    """
    if find_spec(PKG_RESOURCES):
        yield
        return
    sys.modules[PKG_RESOURCES] = _module(PKG_RESOURCES, resource_filename=_resource_filename)
    try:
        yield
    finally:
        del sys.modules[PKG_RESOURCES]


def _resource_filename(module: str, name: str) -> str:
    file = sys.modules[module].__file__
    assert file, f"{module} was not loaded from a file"
    return str(Path(file).parent / name)


def _module(name: str, **members: object) -> ModuleType:
    module = ModuleType(name, "Made by clbench, which answers for the package of this name.")
    module.__spec__ = ModuleSpec(name, loader=None, is_package="__path__" in members)
    vars(module).update(members)
    return module
