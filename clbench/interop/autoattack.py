"""Which distribution of AutoAttack is installed; the only file that imports one."""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from clbench.interop.installed import find_installed, install_line, requirement_of, uninstall_line
from clbench.schema.errors import InstallationError

CLASSIC = "autoattack"
PUBLISHED = "pyautoattack"
"""AutoAttack's name among published packages; its attacks are the classic's, its class is not."""


def attack_package_name() -> str:
    """Return which package holds AutoAttack's attacks, ``autoattack`` or else ``pyautoattack``.

    Raises:
        InstallationError: Neither is installed, or the first is too old for robustbench; the
            message ends with the command that mends it.
    """
    classic = find_installed(CLASSIC)
    if classic is None or classic.origin is None:
        if find_installed(PUBLISHED) is None:
            line = install_line(requirement_of(PUBLISHED))
            raise InstallationError(f"AutoAttack is not installed; run: {line}")
        return PUBLISHED
    if not Path(classic.origin).with_name("state.py").exists():
        raise InstallationError(
            f"the installed {CLASSIC} is too old for robustbench, it has no {CLASSIC}.state; "
            f"{PUBLISHED} can stand in for it; run: {uninstall_line(CLASSIC)}"
        )
    return CLASSIC


@cache
def attack_package() -> ModuleType:
    """Return the package that holds AutoAttack's attacks, imported.

    Raises:
        InstallationError: As :func:`attack_package_name`, or the package cannot be imported.
    """
    return _import(attack_package_name())


def published_package() -> ModuleType:
    """Return ``pyautoattack``.

    Raises:
        InstallationError: It is not installed, or cannot be imported.
    """
    return _import(PUBLISHED)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        line = install_line(requirement_of(name))
        raise InstallationError(f"{name} cannot be imported: {error}; run: {line}") from error
