"""Ctrl-C and the signals that schedulers and closed terminals send: all end a run alike."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 130


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end; what saves on Ctrl-C saves on this too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """Return the status that shells expect of a process which a signal ended."""
    return interrupt.status if isinstance(interrupt, Stopped) else EXIT_INTERRUPTED


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt the block, as Ctrl-C does.

    Those that somebody ignores on purpose, as ``nohup`` does, stay ignored.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    mine = threading.current_thread() is threading.main_thread()
    taken = [one for one in numbers if mine and signal.getsignal(one) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
