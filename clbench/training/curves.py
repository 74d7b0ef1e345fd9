"""The course of a training as a picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from clbench.schema.files import write_atomically
from clbench.training.phases import Epoch

FILE = "curves.png"

_SIZE = (7.0, 2.6)
_DPI = 150
_ACCURACIES = {"clean_acc": ("clean", "#0072b2", "o"), "robust_acc": ("PGD", "#d55e00", "s")}
"""Names, colours that everybody can tell apart, and marks of the two validation accuracies."""

_LEGEND: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "borderaxespad": 0,
    "ncols": 2,
    "frameon": False,
}
"""Above the axes: to look for the best free place inside takes long, of which matplotlib warns."""


def write_curves(folder: Path, rows: Sequence[Epoch]) -> None:
    """Draw the training loss and the validation accuracies over the epochs of both phases.

    Raises:
        StorageError: The folder cannot be written.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    _draw_losses(losses, rows)
    _draw_accuracies(accuracies, rows)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, max(1, len(rows)) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    write_atomically(folder / FILE, data.getvalue())


def _draw_losses(axes: Axes, rows: Sequence[Epoch]) -> None:
    """Draw one line per phase: losses of different kinds are not one curve."""
    axes.set_ylabel("training loss")
    styles = iter(("-", "--"))
    for phase in dict.fromkeys(row.phase for row in rows):
        places = [k for k, row in enumerate(rows, start=1) if row.phase == phase]
        values = [rows[k - 1].loss for k in places]
        axes.plot(
            places, values, next(styles), color="#333333", marker=".", markersize=4, label=phase
        )
    if rows:
        axes.legend(**_LEGEND)


def _draw_accuracies(axes: Axes, rows: Sequence[Epoch]) -> None:
    axes.set_ylabel("validation accuracy")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    measured = [(k, row) for k, row in enumerate(rows, start=1) if row.clean_acc is not None]
    for field, (name, colour, mark) in _ACCURACIES.items():
        values = [getattr(row, field) for _, row in measured]
        axes.plot([k for k, _ in measured], values, color=colour, marker=mark, label=name)
    if measured:
        axes.legend(**_LEGEND)
    else:
        axes.text(0.5, 0.5, "no classifier yet", ha="center", transform=axes.transAxes)
