"""How long work tells what is being done, and how far it is."""

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0: not known)."""


def not_shown(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""


def naming(name: str, on_progress: OnProgress) -> OnProgress:
    """Return a hook that tells of which of several things the work is.

    >>> naming("simclr_at", print)("fitting linear probes", 1, 6)
    fitting linear probes of simclr_at 1 6
    """

    def named(what: str, done: int, total: int) -> None:
        on_progress(f"{what} of {name}", done, total)

    return named
