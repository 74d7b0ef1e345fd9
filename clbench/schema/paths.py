"""Places of files as Python's users give them: as text, or as paths."""

import os
from collections.abc import Sequence
from pathlib import Path

from clbench.schema.errors import BadValueError
from clbench.schema.text import shown

AnyPath = str | os.PathLike[str]
"""Text or a path."""

AnyPaths = AnyPath | Sequence[AnyPath]
"""One file, or several."""


def as_path(name: str, given: AnyPath) -> Path:
    """Return a path; ``name`` is how the message calls it.

    Raises:
        BadValueError: It is neither text nor a path.

    >>> as_path("out", "results").name
    'results'
    """
    try:
        return Path(given)
    except TypeError as error:
        raise BadValueError(f"{name} must be text or a path, got {shown(given)}") from error


def path_or_none(name: str, given: AnyPath | None) -> Path | None:
    """Return a path where there is one.

    Raises:
        BadValueError: As ``as_path``.
    """
    return None if given is None else as_path(name, given)


def as_paths(name: str, given: AnyPaths) -> tuple[Path, ...]:
    """Return the paths of files, of which one may stand alone.

    Raises:
        BadValueError: As ``as_path``.

    >>> len(as_paths("data", "images.npz")), len(as_paths("data", ["a.npz", "b.npz"]))
    (1, 2)
    """
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return tuple(as_path(name, one) for one in given)
    return (as_path(name, given),)
