"""What reaches stdout and stderr: our own words, in characters that every terminal can show."""

import ctypes
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from clbench.runtime.processes import processes
from clbench.schema.errors import ModelError
from clbench.schema.text import visible

_STDOUT = 1

_HALF_A_LINE = 400
"""Longer messages lose what is in their middle: a name that somebody pasted a file into."""

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)
"""What printing fails with where the disk is full, or a terminal or file is gone."""


def accept_any_text() -> None:
    """Let a stream that takes ASCII only write the rest as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print one line to stderr, whatever characters are in it; nothing where that is no more."""
    with suppress(OSError, ValueError):
        shown = visible(line)
        if len(shown) > 2 * _HALF_A_LINE:
            shown = f"{shown[:_HALF_A_LINE]} ... {shown[-_HALF_A_LINE:]}"
        print(f"clbench: {_who()}{shown}", file=sys.stderr, flush=True)


def _who() -> str:
    """Return which of several processes speaks, where it is not the one that speaks for all."""
    mine = processes()
    return "" if mine is None or mine.is_first else f"process {mine.rank} of {mine.world}: "


@contextmanager
def code_of_others() -> Iterator[None]:
    """Let code of others run in the block: it can neither print among our results nor end us.

    A user's network, an attack package or a C library prints where it likes, also by the file
    descriptor, and what C holds back it would write at the end of the process: all goes to stderr.

    Raises:
        ModelError: The code called ``sys.exit``, which would look like a success.
    """
    try:
        with redirect_stdout(sys.stderr), _descriptor_aside():
            yield
    except SystemExit as stop:
        raise ModelError(
            f"the code of a model, an attack or data called sys.exit({stop.code!r}); "
            "let it raise an error, or return"
        ) from stop


@contextmanager
def _descriptor_aside() -> Iterator[None]:
    real = sys.__stdout__
    if real is None or _descriptor(real) != _STDOUT or _descriptor(sys.__stderr__) is None:
        yield
        return
    real.flush()
    kept = os.dup(_STDOUT)
    os.dup2(sys.__stderr__.fileno(), _STDOUT)  # type: ignore[union-attr]
    try:
        yield
    finally:
        with suppress(OSError):
            real.flush()
        _flush_c()
        os.dup2(kept, _STDOUT)
        os.close(kept)


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None


def _flush_c() -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def flush() -> None:
    """Write what is held back to stdout, so that an error is met here and not at the very end."""
    if sys.stdout is not None:
        sys.stdout.flush()


def leave_stdout() -> None:
    """Let nothing more be written to stdout: its reader is gone, or its disk is full."""
    if _is_ours():
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        os.close(nowhere)


def end_of_results() -> None:
    """Let what others print while the process ends go to stderr: all results are out."""
    if _is_ours() and _descriptor(sys.__stderr__) is not None:
        os.dup2(sys.__stderr__.fileno(), _STDOUT)  # type: ignore[union-attr]


def _is_ours() -> bool:
    """Say whether stdout is that of the process, and not what a program around us put there."""
    real = sys.__stdout__
    return real is not None and real is sys.stdout and _descriptor(real) == _STDOUT
