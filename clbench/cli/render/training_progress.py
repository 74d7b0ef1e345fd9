"""How far a training is: a bar where there is a terminal, otherwise a line now and then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from clbench.cli.render.console import PlainConsole

if TYPE_CHECKING:
    from clbench.training.phases import Epoch
    from clbench.training.recipe import Phase

LINE_EVERY_S = 60.0
"""Where there is no terminal for a bar, epochs of so many seconds together share a line."""

_SPEED_OVER = 24 * 3600.0
"""Seconds of epochs that tell the time to go; rich's own half a minute may hold not even two."""


class TrainingBar:
    """A bar whose length is the work of all phases, in passes over the training images."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task
        self._costs: dict[str, int] = {}
        self._accuracies = ""
        self._untold_s = 0.0

    def start(self, phases: "dict[str, Phase]", rows: "list[Epoch]") -> None:
        """Take the length from the phases; ``rows`` are the epochs that were there already."""
        self._costs = {name: phase.passes_per_image for name, phase in phases.items()}
        total = sum(self._costs[name] * phase.epochs for name, phase in phases.items())
        self._bars.update(self._task, total=total, description="training")
        if rows:
            last = rows[-1]
            self._bars.update(self._task, completed=sum(self._costs[row.phase] for row in rows))
            self._print(f"going on after {last.phase} {last.epoch}/{last.n_epochs}")

    def show(self, row: "Epoch") -> None:
        """Show an epoch."""
        measured = row.clean_acc is not None and row.robust_acc is not None
        if measured:
            self._accuracies = f"clean {row.clean_acc:.1%} PGD {row.robust_acc:.1%}"
        at = f"{row.phase} {row.epoch}/{row.n_epochs}"
        figures = f"loss {row.loss:.3f} {self._accuracies} {row.images_per_second:.0f} images/s"
        figures = " ".join(figures.split())
        self._bars.update(self._task, description=at, figures=figures)
        self._bars.advance(self._task, self._costs[row.phase])
        self._untold_s += row.seconds
        if measured or row.epoch in (1, row.n_epochs) or self._untold_s >= LINE_EVERY_S:
            self._print(f"{at}: {figures}{self._to_go()}")
            self._untold_s = 0.0

    def _to_go(self) -> str:
        (task,) = self._bars.tasks
        seconds = task.time_remaining
        return f", {seconds / 60:.0f} min to go" if seconds else ""

    def _print(self, line: str) -> None:
        if not self._bars.console.is_terminal:
            self._bars.console.print(line, soft_wrap=True)


@contextmanager
def training_progress(
    log_to: Path | None, *, shown: bool
) -> Iterator[dict[str, Callable[..., None]]]:
    """Give the hooks of ``clbench.train``: a bar on stderr, which goes away in the end.

    ``log_to`` is a folder in which TensorBoard finds the log too.
    """
    console = PlainConsole(stderr=True, quiet=not shown)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bars = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        speed_estimate_period=_SPEED_OVER,
    )
    from clbench.training.tensorboard import tensorboard_writer

    logged = tensorboard_writer(log_to) if log_to else (lambda _row: None)
    with bars:
        bar = TrainingBar(bars, bars.add_task("loading", total=None, figures=""))

        def on_epoch(row: "Epoch") -> None:
            bar.show(row)
            logged(row)

        yield {"on_start": bar.start, "on_epoch": on_epoch}
