"""Networks from a user's own code: ``FILE.py:FACTORY``, ``pkg.mod:FACTORY``, and entry points."""

from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePath
from typing import Any

from torch import nn

from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.runtime.as_found import defaults_as_found
from clbench.runtime.user_code import (
    describe_with_line,
    import_object,
    importable,
    load_registered,
    registered,
)
from clbench.schema.errors import ModelError

ENTRY_POINT_GROUP = "clbench.models"
"""Where other packages register a name for a factory of theirs."""


def registered_models() -> dict[str, EntryPoint]:
    """Return the models that installed packages registered, by name."""
    return registered(ENTRY_POINT_GROUP)


def check_only_owner(name: str, *, zoo: bool) -> None:
    """Check that one package alone has this name; ``zoo`` says that the zoo has it too.

    Raises:
        ModelError: Several do.
    """
    points = sorted({one.value for one in entry_points(group=ENTRY_POINT_GROUP, name=name)})
    owners = ["clbench"] * zoo + points
    if len(owners) > 1:
        other = f"; clbench's own is --model timm:{name}" if zoo else ""
        raise ModelError(
            f"model {name!r} was registered by {' and by '.join(owners)}; "
            f"name the one that is meant: --model {points[0]}{other}"
        )


def load_from_package(name: str, point: EntryPoint, wanted: Wanted) -> LoadedModel:
    """Return the network that another package registered under ``name``.

    Raises:
        ModelError: The entry point cannot be imported, or its factory builds no network.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    found = load_registered(f"model '{name}'", point, ModelError)
    network = _call(name, found.value)
    return loaded_from_elsewhere(network, name, wanted.weights, source=found.source)


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return the network of ``FILE.py:FACTORY`` or ``pkg.mod:FACTORY``.

    Raises:
        ModelError: There is no such file, module or factory, or it builds no network.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    found = import_object(f"model '{name}'", name, ModelError)
    assert found.code is not None, "code of a user's own lies somewhere"
    with importable(found.code.folder):
        network = _call(name, found.value)
    return loaded_from_elsewhere(
        network, _recorded(name), wanted.weights, source=found.source, code=found.code
    )


def _recorded(name: str) -> str:
    """Return a name without the folders of the user's machine; below the working folder it stays.

    >>> _recorded("/home/someone/net.py:make"), _recorded("nets/net.py:make")
    ('net.py:make', 'nets/net.py:make')
    """
    where = PurePath(name.rpartition(":")[0])
    outside = where.is_absolute() or where.parts[:1] in {("..",), ("~",)}
    return f"{where.name}:{name.rpartition(':')[2]}" if outside else name


def _call(name: str, factory: Any) -> nn.Module:  # noqa: ANN401 - whatever the user named
    wanted = "a function without arguments that returns an nn.Module"
    if isinstance(factory, nn.Module) or not callable(factory):
        kind = type(factory).__name__
        raise ModelError(f"model '{name}' must be {wanted}, got an object of type {kind}")
    try:
        with defaults_as_found():
            network = factory()
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model '{name}': its factory raised {describe_with_line(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"model '{name}' must be {wanted}, it returned {type(network).__name__}")
    return network
