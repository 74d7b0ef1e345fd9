"""Which entry of what a network returns is the logits: of a tuple, a dictionary, or the like."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.text import shown

ITSELF = ""
"""Stands for a network's answer as it is."""

LOGITS = "logits"
"""What Hugging Face's classifiers call them: an entry of this name says itself what it is."""

_SHOWN = 8
"""Entries that a message lists."""

_DEEPEST = 3
"""Levels that are looked through: some networks return features within a tuple of a tuple."""

_MATRIX = 2  # axes of logits [n, classes]


def read_output(given: object) -> str:
    """Return the path of an entry: a name, an index, or several with dots between; "" for none.

    Raises:
        BadValueError: It is neither a name nor an index.

    >>> read_output(-1), read_output("heads.0"), read_output(None)
    ('-1', 'heads.0', '')
    """
    if given is None:
        return ITSELF
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise BadValueError(
            f"--output must be the name or the index of an entry, such as logits or 0, got "
            f"{shown(given)}"
        )
    return str(given).strip()


def entry(answer: Any, path: str) -> Any:  # noqa: ANN401 - whatever a network returns
    """Return the entry at a path of what a network returned; the answer itself for no path.

    Raises:
        ModelError: There is none; the message lists those that there are.
    """
    if path == ITSELF:
        return answer
    found = _at(answer, path)
    if found is None and isinstance(answer, Tensor):
        raise ModelError(
            f"the model returns one tensor {list(answer.shape)}, got --output {path!r}; leave it "
            "out"
        )
    if found is None:
        raise ModelError(
            f"the model returns {_listed(answer)}, got --output {path!r}; name one of these"
        )
    if not isinstance(found, Tensor):
        raise ModelError(f"--output must be one tensor, got {path!r}, {_listed(found)}")
    return found


def find_output(answer: Any, path: str, n_classes: int, *, or_more: bool) -> str:  # noqa: ANN401 - as above
    """Return which entry of an answer is the logits: the one that was named, or that says so.

    That is an entry called ``LOGITS``, or the only tensor there is.

    Args:
        answer: What a network returned for several images.
        path: The entry that was named, ``ITSELF`` where none was.
        n_classes: How many there are.
        or_more: Whether there may be more logits.

    Raises:
        ModelError: There are several that may be, or none, or not the one that was named.
    """
    if path != ITSELF:
        entry(answer, path)
    if path != ITSELF or isinstance(answer, Tensor):
        return path
    found = dict(_entries(answer))
    if not found:
        raise ModelError(
            f"the model must return logits, a tensor [n, {n_classes}], got {_kind(answer)}"
        )
    possible = [path for path, one in found.items() if _may_be(one, n_classes, or_more=or_more)]
    named = [path for path in possible if path.rpartition(".")[2] == LOGITS]
    sure = possible if len(found) == 1 else named
    if len(sure) == 1:
        return sure[0]
    what = f"none of these is [n, {n_classes}{' or more' if or_more else ''}]"
    if possible:
        what = f"say which they are, such as --output {possible[0]}"
    raise ModelError(f"the model must return one tensor of logits, got {_listed(answer)}; {what}")


def _may_be(found: Tensor, n_classes: int, *, or_more: bool) -> bool:
    if found.ndim != _MATRIX or not found.is_floating_point():
        return False
    return found.shape[1] == n_classes or (or_more and found.shape[1] > n_classes)


def _at(answer: Any, path: str) -> Any:  # noqa: ANN401 - as above
    """Return the entry at a path, None where there is none."""
    items = dict(_items(answer))
    if path in items:  # names may have dots
        return items[path]
    if path.startswith("-") and path[1:].isdecimal():
        counted = [key for key in items if key.isdecimal()]
        back = int(path[1:])
        return items[counted[-back]] if 0 < back <= len(counted) else None
    heads = [key for key in items if path.startswith(f"{key}.")]
    return next(
        (
            found
            for key in heads
            if (found := _at(items[key], path.removeprefix(f"{key}."))) is not None
        ),
        None,
    )


def _items(answer: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as above
    """Yield what an answer holds, by name; entries of a named tuple by index, too."""
    if isinstance(answer, Mapping):
        yield from ((str(key), value) for key, value in answer.items())
    elif isinstance(answer, tuple | list):
        yield from ((str(k), value) for k, value in enumerate(answer))
        yield from getattr(answer, "_asdict", dict)().items()
    elif is_dataclass(answer):
        yield from ((one.name, getattr(answer, one.name)) for one in fields(answer))
    elif not isinstance(answer, Tensor):
        yield from getattr(answer, "__dict__", {}).items()


def _entries(answer: Any, depth: int = 1) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401 - as above
    """Yield the tensors of an answer by their paths; those of a named tuple by their names."""
    named = getattr(answer, "_asdict", None)
    for key, value in named().items() if named else _items(answer):
        if isinstance(value, Tensor):
            yield key, value
        elif depth < _DEEPEST:
            yield from ((f"{key}.{path}", one) for path, one in _entries(value, depth + 1))


def _listed(answer: Any) -> str:  # noqa: ANN401 - as above
    """Return what a message says of an answer."""
    found = [f"{path} {list(one.shape)}" for path, one in _entries(answer)]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return " with ".join(filter(None, (_kind(answer), ", ".join(found[:_SHOWN] + more))))


def _kind(answer: Any) -> str:  # noqa: ANN401 - as above
    return f"a {type(answer).__name__}" if answer is not None else "None"
