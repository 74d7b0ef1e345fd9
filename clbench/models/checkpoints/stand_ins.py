"""What stands for objects of other code in a pickle, so that nothing of it is run."""

import builtins
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any, TypeVar

import torch.serialization

T = TypeVar("T")

_NOT_ALLOWED = re.compile(r"GLOBAL (\S+) was not an allowed global")
"""How torch names what it does not read with ``weights_only``."""

_RUNS = frozenset(
    (
        *("os", "posix", "nt", "subprocess", "shutil", "socket", "importlib", "runpy", "pty"),
        *("ctypes", "webbrowser", "pickle", "_pickle", "cloudpickle", "marshal", "torch.hub"),
        *("torch.load", "torch.serialization.load", "torch.jit", "torch._dynamo", "pip"),
        *("builtins.eval", "builtins.exec", "builtins.open", "builtins.compile"),
        *("builtins.__import__", "builtins.input", "builtins.breakpoint", "io.open", "timeit"),
        *("code", "pdb", "bdb", "asyncio", "multiprocessing.util", "commands"),
    )
)
"""Modules and functions that no weights need, and that do something when they are called."""

_BLOCKED = re.compile(r"GLOBAL (\S+) whose module \S+ is blocked")
"""How torch names what it reads in no case."""

_NAMED_AS_A_DICT = re.compile(r"(dict|cfgnode)$", re.IGNORECASE)

_HAS_ITEMS = re.compile(r"Can only (\S+)[^<]*, but got <class '([^']+)'>")
"""How torch names what it puts no items into, after what it wanted to do."""


class WouldRunError(UnpicklingError):
    """A pickle that would run ``function`` of Python's own, were it read as pickles are."""

    def __init__(self, function: str) -> None:
        super().__init__(function)
        self.function = function


class StandIn:
    """Takes the place of an object: it accepts whatever it is made of, and keeps its attributes."""

    attributes: Mapping[str, object] = MappingProxyType({})

    def __new__(cls, *_args: object, **_options: object) -> Any:  # noqa: ANN401 - or a subclass's own
        """Accept whatever an object is made of."""
        return super().__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        """Keep it where it is a table of attributes."""
        self.attributes = state if isinstance(state, Mapping) else self.attributes


class _DictStandIn(StandIn):
    """Takes the place of a dict of another class, which torch fills with items only if plain."""

    def __new__(cls, *_args: object, **_options: object) -> Any:  # noqa: ANN401 - no instance of its own
        """Return a plain dict for the items that follow."""
        return OrderedDict()


class _ListStandIn(StandIn):
    """Takes the place of a list of another class, likewise."""

    def __new__(cls, *_args: object, **_options: object) -> Any:  # noqa: ANN401 - no instance of its own
        """Return a plain list for the items that follow."""
        return []


def with_stand_ins(read: Callable[[], T]) -> T:
    """Return what ``read`` unpickles, with stand-ins for objects of other code.

    ``read`` calls ``torch.load`` with ``weights_only``, which raises at the first class that it
    does not know. That one gets a stand-in, and reading begins anew.

    Raises:
        WouldRunError: The file would run something. Nothing is.
        UnpicklingError: The file wants something that no stand-in can be, such as a function of
            Python's own.
    """
    known: dict[str, type] = {}
    while True:
        try:
            with torch.serialization.safe_globals(list(known.values())):
                return read()
        except UnpicklingError as error:
            found = _NOT_ALLOWED.search(str(error)) or _BLOCKED.search(str(error))
            name = found[1] if found else ""
            if _would_run(name):
                raise WouldRunError(name) from error
            if not name and (one := _with_items(str(error), known)):
                known |= one
                continue
            if not name or name in known or not ("." in name or _is_type(name)):
                raise
            known[name] = _stand_in(name)


def _with_items(message: str, known: Mapping[str, type]) -> dict[str, type]:
    """Return what stands for a class of which torch says now that it has items; else nothing."""
    found = _HAS_ITEMS.search(message)
    name = found[2] if found else ""
    if not found or name not in known or not issubclass(known[name], StandIn):
        return {}
    kind = _ListStandIn if found[1] == "append" else _DictStandIn
    return {} if issubclass(known[name], kind) else {name: _stand_in(name, kind)}


def _would_run(name: str) -> bool:
    """Say whether a name, or a module that it is in, is one of ``_RUNS``."""
    parts = (name if "." in name else f"builtins.{name}").split(".")
    return any(".".join(parts[:n]) in _RUNS for n in range(1, len(parts) + 1))


def _is_type(name: str) -> bool:
    """Say whether a name is of a type of Python's own, and not of a function such as ``exec``."""
    return isinstance(getattr(builtins, name, None), type)


def _stand_in(name: str, kind: type[StandIn] | None = None) -> type:
    """Return a class that torch takes for the one of this name."""
    module, _, attribute = name.rpartition(".")
    module = module or "builtins"
    kind = kind or (_DictStandIn if _NAMED_AS_A_DICT.search(attribute) else StandIn)
    return type(attribute, (kind,), {"__module__": module})
