"""How far a comparison of models is: a bar where there is a terminal, otherwise a line a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def probe_progress(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told what is done and how far it is, and shows it on stderr."""
    console = Console(stderr=True, quiet=not shown)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("to go", style="dim"),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars:
        task = bars.add_task("loading", total=None)
        latest = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal latest
            if what != latest:
                bars.reset(task, description=what)
                if not console.is_terminal:
                    console.print(what, highlight=False)
            latest = what
            bars.update(task, completed=done, total=total or None)

        yield show
