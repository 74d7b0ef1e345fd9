"""The grammar of a model argument: ``WHAT``, ``NAME=WHAT`` or ``WHAT=WEIGHTS``."""

from pathlib import Path
from typing import NamedTuple

from clbench.schema.errors import BadValueError

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".tar", ".bin", ".ckpt", ".pkl")
"""How the names of weights files end; what they are is told by their content."""


class ModelArgument(NamedTuple):
    """A model as it was given: the name it is to have ("": its own), what it is, its weights."""

    name: str
    what: str
    weights: Path | None = None


def read_argument(text: str) -> ModelArgument:
    """Return what a model argument says; ``=`` is part of the name of what is there.

    Raises:
        BadValueError: One side of ``=`` is empty.

    >>> read_argument("mine=net.py:make")
    ModelArgument(name='mine', what='net.py:make', weights=None)
    >>> read_argument("simclr_at=run/weights.safetensors").what
    'simclr_at'
    """
    if "=" not in text or _is_there(text):
        return ModelArgument("", text)
    head, _, tail = text.rpartition("=")
    if head and is_weights_file(tail):
        return read_argument(head)._replace(weights=Path(tail))
    name, _, what = text.partition("=")
    if not name or not what:
        raise BadValueError(f"model must read like NAME=WHAT or WHAT=WEIGHTS, got {text!r}")
    return ModelArgument(name, what)


def is_weights_file(text: str) -> bool:
    """Say whether a text names a weights file, by its ending, or else as it is there."""
    path = Path(text)
    known = path.suffix.lower() in WEIGHTS_SUFFIXES
    return known or (path.is_file() and path.suffix != ".py")


def _is_there(text: str) -> bool:
    """Say whether a text is ``FILE``, ``FOLDER`` or ``FILE:NAME`` of something that exists."""
    where, colon, name = text.rpartition(":")
    return Path(text).exists() or (bool(colon) and "=" not in name and Path(where).is_file())
