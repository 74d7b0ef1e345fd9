"""What a person sees while attacks run: the accuracy left so far, and the time to go."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clbench.cli.render.console import PlainConsole
from clbench.evaluation.progress import Progress as AttackProgress
from clbench.schema.text import visible

LINE_EVERY_S = 30.0
"""Where there is no terminal for a bar, a line tells how far it is so often."""


class Lines:
    """Prints what is under way where no bar can: each step as it begins, and then now and then."""

    def __init__(self, console: PlainConsole, begin: str = "") -> None:
        self._console, self._begin = console, begin
        self._step, self._told = "", time.monotonic()
        if begin and console.is_terminal:
            console.print(begin, soft_wrap=True)

    def tell(self, step: str, how_far: str) -> None:
        """Say that a step is under way, unless that was said a moment ago."""
        now = time.monotonic()
        if self._console.is_terminal or (step == self._step and now < self._told + LINE_EVERY_S):
            return
        # not at once, so that what cannot be run is refused in a single line
        for line in filter(None, (self._begin, f"{step}: {how_far}" if how_far else step)):
            with suppress(OSError):  # nobody reads it, which is no reason to stop
                self._console.print(line, soft_wrap=True)
        self._begin = ""
        self._step, self._told = step, now


@contextmanager
def evaluation_progress(
    write: Callable[[str, Any], None], *, begin: str, shown: bool
) -> Iterator[dict[str, Callable[..., None]]]:
    """Give the hooks of ``clbench.evaluate``: how far attacks and probes are, on stderr.

    ``write`` is told every event, whether or not it is shown; ``begin`` is said first of all.
    """
    console = PlainConsole(stderr=True, quiet=not shown)
    lines = Lines(console, begin)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[left]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[to_go]}", style="dim", markup=False),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("loading", total=None, left="", to_go="")

        def show(at: AttackProgress) -> None:
            write("progress", at)
            done = (at.done + at.within) / at.total if at.total else 1.0
            step = f"{visible(at.attack)} ({at.step}/{at.n_steps})" if at.step else at.attack
            left = f"{at.accuracy_left:.2%} still right"
            to_go = "" if at.eta is None else f"about {_duration(at.eta)} to go"
            bars.update(
                task,
                description=step,
                total=at.n_steps,
                completed=max(0.0, at.step - 1 + done) if at.step else 0.0,
                left=left,
                to_go=to_go,
            )
            images = f"about {at.done + at.within:.0f}" if at.within else str(at.done)
            how_far = f"{images} of {at.total} images, {left}"
            lines.tell(step, ", ".join(filter(None, (how_far, to_go))))

        def show_probe(what: str, done: int, total: int) -> None:
            write("probe", {"what": what, "done": done, "total": total})
            lines.tell(visible(what), f"{done} of {total}" if done and total else "")
            bars.update(
                task, description=visible(what), total=total, completed=done, left="", to_go=""
            )

        yield {
            "on_progress": show,
            "on_probe": show_probe,
            "on_record": partial(write, "record"),
        }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
