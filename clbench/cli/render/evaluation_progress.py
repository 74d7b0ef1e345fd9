"""What a person sees while attacks run: the accuracy left so far, and the time to go."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clbench.evaluation.progress import Progress as AttackProgress


@contextmanager
def evaluation_progress(
    write: Callable[[str, Any], None], *, shown: bool
) -> Iterator[dict[str, Callable[..., None]]]:
    """Give the hooks of ``clbench.evaluate``: how far attacks and probes are, on stderr.

    ``write`` is told every event, whether or not it is shown.
    """
    console = Console(stderr=True, quiet=not shown)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[left]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[to_go]}", style="dim"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("loading", total=None, left="", to_go="")

        def show(at: AttackProgress) -> None:
            write("progress", at)
            done = at.done / at.total if at.total else 1.0
            bars.update(
                task,
                description=f"{at.attack} {at.step}/{at.n_steps}" if at.step else at.attack,
                total=at.n_steps,
                completed=max(0.0, at.step - 1 + done) if at.step else 0.0,
                left=f"{at.accuracy_left:.2%} left",
                to_go="" if at.eta is None else f"about {_duration(at.eta)} to go",
            )
            if not console.is_terminal:
                console.print(f"{at.attack} {at.done}/{at.total}: {at.accuracy_left:.2%} left")

        latest = ""

        def show_probe(what: str, done: int, total: int) -> None:
            nonlocal latest
            write("probe", {"what": what, "done": done, "total": total})
            if what != latest and not console.is_terminal:
                console.print(what)
            latest = what
            bars.update(task, description=what, total=total, completed=done, left="", to_go="")

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
