"""How far a comparison of models is: a bar where there is a terminal, otherwise a line a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from clbench.cli.render.console import PlainConsole
from clbench.cli.render.evaluation_progress import Lines
from clbench.schema.text import visible


@contextmanager
def probe_progress(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told what is done and how far it is, and shows it on stderr."""
    console = PlainConsole(stderr=True, quiet=not shown)
    lines = Lines(console)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("to go", style="dim", markup=False),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars:
        task = bars.add_task("loading", total=None)
        latest = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal latest
            if what != latest:
                bars.reset(task, description=visible(what))
            latest = what
            if not what.startswith("loading"):  # what cannot be loaded is refused in a single line
                lines.tell(visible(what), f"{done} of {total}" if done and total else "")
            bars.update(task, completed=done, total=total or None)

        yield show
