"""What commands that run for long have in common: one way to be stopped, one to tell of events."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from clbench.cli.signals import exit_status
from clbench.cli.streams import say

EXIT_USER = 2
"""Something that the user can mend."""

EXIT_UNRELIABLE = 3
"""Under ``--strict``, a number that a flag was raised for."""


@contextmanager
def interruptible(message: str | Callable[[], str]) -> Iterator[None]:
    """Say ``message`` and exit with the status for it when Ctrl-C, or a signal, ends the block.

    It may be a function that is asked then; of nothing nothing is said.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if words := message if isinstance(message, str) else message():
            say(words)
        raise typer.Exit(exit_status(interrupt)) from None


def is_first_process() -> bool:
    """Say whether this is the one process of torchrun that speaks for all; it is without torchrun.

    Trainings share their work in ways of their own, which nothing has begun yet.
    """
    return os.environ.get("RANK", "0") == "0"


class _Notes(logging.Handler):
    """Prints what clbench has to say aside, such as files that were set aside, to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_notes() -> None:
    """Let what the library logs be seen, a line each."""
    logger = logging.getLogger("clbench")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes(logging.INFO))
        logger.setLevel(logging.INFO)
        logger.propagate = False


@contextmanager
def notes_once() -> Iterator[None]:
    """Let no note be shown twice during the block, in which something is done in two steps."""
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        known = message in told
        told.add(message)
        return not known

    handlers = logging.getLogger("clbench").handlers
    for handler in handlers:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_new)


@contextmanager
def quietly(*, quiet: bool, as_json: bool = False) -> Iterator[None]:
    """Let nothing of that be seen during the block; or, by machines, only what may be wrong."""
    logger = logging.getLogger("clbench")
    before = logger.level
    logger.setLevel(logging.ERROR if quiet else logging.WARNING if as_json else before)
    try:
        yield
    finally:
        logger.setLevel(before)


def event_writer(path: Path | None) -> Callable[[str, Any], None]:
    """Return a function that appends an event, its name and its content, to a file as JSON.

    Raises:
        StorageError: The file cannot be written.
    """
    from clbench.schema.dataclass_io import to_table
    from clbench.schema.errors import StorageError

    def write(event: str, content: object) -> None:
        if path is None:
            return
        table: dict[str, Any] = dict(to_table(content))
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **table}) + "\n")
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror}; choose another file with --events"
            ) from error

    return write
