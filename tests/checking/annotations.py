"""Annotations of clbench as they are checked during tests, at a third of what it costs otherwise.

jaxtyping checks arguments before a call, and once more with what is returned, and puts them in
order for its messages before anything is wrong. Here each is checked once, in one context of
shapes, by beartype; and what checks is made at the first call, as no test process calls all there
is. Left to jaxtyping are generators, and shapes that name the values of arguments.
"""

import dataclasses
import functools
import inspect
import types
import typing

import jaxtyping
from beartype import BeartypeConf, beartype

_THEIRS = jaxtyping.jaxtyped
_SHAPES = _THEIRS("context")
"""Shapes are those of one call: the context that they are kept in."""

_BEARTYPE = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
"""Its errors are those of jaxtyping, which are a ``TypeError``."""


def jaxtyped(given=None, *, typechecker=None):
    """Return a function, or a dataclass, whose calls check their annotations."""
    if isinstance(given, str):  # a context
        return _THEIRS(given)
    if given is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if isinstance(given, types.FunctionType) and not _is_left(given):
        return _checking(given)
    if dataclasses.is_dataclass(given) and _is_plain(vars(given).get("__init__")):
        given.__init__ = _checking(given.__init__)
        return given
    return given if inspect.isclass(given) else _THEIRS(given, typechecker=typechecker)


def _is_left(function):
    names_values = any("{" in repr(hint) for hint in function.__annotations__.values())
    return names_values or inspect.isgeneratorfunction(function)


def _is_plain(init):
    return isinstance(init, types.FunctionType) and not hasattr(init, "__wrapped__")


def _checking(function):
    check = None

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal check
        if check is None:
            check = checked(function)
        with _SHAPES:
            return check(*args, **kwargs)

    return call


def checked(function):
    """Return a function that checks its arguments and what it returns."""
    same = types.FunctionType(
        *(function.__code__, function.__globals__, function.__name__),
        *(function.__defaults__, function.__closure__),
    )
    same.__kwdefaults__, same.__module__ = function.__kwdefaults__, function.__module__
    same.__qualname__ = function.__qualname__
    same.__annotations__ = {
        name: _resolved(hint, function) for name, hint in function.__annotations__.items()
    }
    return _BEARTYPE(same)


def _resolved(hint, function):
    """Return an annotation with its names looked up; of what only types are told by, anything."""
    holder = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["hint"]
    except NameError:
        return typing.Any


jaxtyping.jaxtyped = jaxtyped
"""What jaxtyping's import hook decorates with is what has this name."""
