"""How far an evaluation is: told after every batch, and saved now and then."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from clbench.schema.files import write_atomically

SAVE_EVERY = 1.0
"""Seconds between two savings of the progress; longer where saving itself takes long."""

_NEARLY = 0.99

_SAVING_SHARE = 0.02  # of the time, at most, goes into saving


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: ``done`` of ``total`` examples of step ``step`` are attacked.

    ``within`` is roughly how much of the batch under way is done, in examples. Step 0 is the clean
    images. ``accuracy_left`` is the robust accuracy if no further attack broke anything. ``eta`` is
    a rough number of seconds to go, None while nothing is known.
    """

    attack: str
    step: int
    n_steps: int
    done: int
    total: int
    accuracy_left: float
    seconds: float
    eta: float | None
    within: float = 0.0


class UnderWay(NamedTuple):
    """What is done of a batch, judged by its passes: in examples, in cost and in seconds.

    ``begun`` examples are under attack, where there is ``room`` for so many side by side; 0 where
    room that is empty costs nothing.
    """

    examples: float
    cost: float
    seconds: float
    begun: int = 0
    room: int = 0

    @classmethod
    def of(cls, examples: int, cost: float, passes: int, seconds: float) -> "UnderWay":
        """Return it from the passes so far; a batch that takes more than foretold is not done."""
        share = min(passes / cost, _NEARLY)
        return cls(share * examples, share * cost, seconds, examples, examples)


OnProgress = Callable[[Progress], None]


class Saver:
    """Saves the progress now and then; whatever ends the block early, Ctrl-C too, at once."""

    def __init__(self, path: Path | None, content: Callable[[], bytes]) -> None:
        self._path, self._content = path, content
        self._due = time.perf_counter() + SAVE_EVERY

    def save(self, *, force: bool = False) -> None:
        """Write the progress if it is due, or in any case where forced."""
        started = time.perf_counter()
        if self._path is None or (not force and started < self._due):
            return
        write_atomically(self._path, self._content())
        now = time.perf_counter()
        self._due = now + max(SAVE_EVERY, (now - started) / _SAVING_SHARE)

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.save(force=True)
