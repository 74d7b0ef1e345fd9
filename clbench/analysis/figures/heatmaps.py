"""Matrices as colours: one, many side by side on one scale, and one number for each pair."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from clbench.analysis.figures.grid import Cell, Page, lay_out
from clbench.analysis.figures.style import MAP, SMALL, SMALLEST, TEXT, UNDEFINED, elided, styled
from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.probes.similarity.measures import SimilarityMeasure, find_measure
from clbench.probes.similarity.null import ALPHA

_MOST_NUMBERS = 14  # cells across in which numbers can still be read
_DARK = 0.5  # brightness below which numbers are white


class HeatmapPanel(NamedTuple):
    """A matrix of named rows and columns with its title, in a figure of several.

    ``empty`` is the colour of cells without a value; ``chance`` are the cells that are crossed out,
    as chance alone gives as much.
    """

    title: str
    values: Float[np.ndarray, "r c"]
    rows: Sequence[str]
    columns: Sequence[str]
    empty: str = UNDEFINED
    chance: Bool[np.ndarray, "r c"] | None = None

    @classmethod
    def of(cls, similarity: SimilarityMatrix, title: str) -> "HeatmapPanel":
        """Return the panel that shows the layers of two representations."""
        rows, columns = (
            [elided(layer) for layer in axis.layers]
            for axis in (similarity.rows, similarity.columns)
        )
        null = next(iter(similarity.nulls), None)
        chance = None if null is None else null.p_adjusted > ALPHA
        return cls(title, similarity.values, rows, columns, chance=chance)

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the rows and the columns are called."""
        return tuple(self.rows), tuple(self.columns)


def heatmap(similarity: SimilarityMatrix, title: str = "") -> Figure:
    """Return one matrix as a figure; the layers of the rows go upwards, from the image onwards."""
    sides = f"{similarity.rows.representation} (upwards) and {similarity.columns.representation}"
    return panels(
        [[HeatmapPanel.of(similarity, "")]],
        title or sides,
        sides if title else "",
        measure=find_measure(similarity.measure),
    )


def panels(
    places: Sequence[Sequence[HeatmapPanel | None]],
    title: str,
    note: str = "",
    *,
    measure: SimilarityMeasure,
    numbers: bool = False,
    upwards: bool = True,
) -> Figure:
    """Return matrices side by side, all on one scale: the value range of their measure.

    An estimate slightly outside has the colour of the nearest end.

    Rows and columns are named once for each row and column of the page where all panels have the
    same names, otherwise at every panel. Where there are more names than lines of text, some are
    left out.

    Args:
        places: What goes where, by row from the top; None leaves a place empty.
        title: Of the page.
        note: A second line below it.
        measure: What the values are of.
        numbers: Whether values are written into the cells too, where there is room.
        upwards: Whether the first row of a matrix is the lowest, or the highest as in a table.
    """
    found = [panel for row in places for panel in row if panel]
    page = Page(
        places,
        title,
        note,
        longest=max(len(name) for panel in found for name in chain(*panel.names)),
        shared=len({panel.names for panel in found}) == 1,
        heads=max(panel.title.count("\n") + 1 if panel.title else 0 for panel in found),
    )
    with styled():
        figure, cells, bar = lay_out(page)
        images = [
            _show(cell, panel, measure.value_range, upwards=upwards)
            for cell, panel in zip(cells, found, strict=True)
        ]
        for cell, panel, image in zip(cells, found, images, strict=True):
            if numbers and len(panel.rows) <= _MOST_NUMBERS:
                _write_numbers(cell, image, panel.values)
        figure.colorbar(images[0], cax=bar).set_label(measure.label, labelpad=2)
    return figure


def panels_in_a_row(names: Sequence[str], most: int = 4) -> int:
    """Return how many panels fit beside each other so that all their names can be read."""
    longest = max(len(elided(name)) for name in names)
    for columns in range(most, 1, -1):
        side = Page([[0] * columns], "", "", longest, shared=True).side
        if side * 72 / len(names) >= SMALLEST:
            return columns
    return 1


def _show(
    cell: Cell, panel: HeatmapPanel, limits: tuple[float, float], *, upwards: bool
) -> AxesImage:
    low, high = sorted(limits)
    colours = mpl.colormaps[MAP]
    if limits[0] > limits[1]:  # of a distance, so that what is alike looks the same
        colours = colours.reversed()
    image = cell.axes.imshow(
        np.ma.masked_invalid(panel.values),
        cmap=colours.with_extremes(bad=panel.empty),
        vmin=low,
        vmax=high,
        origin="lower" if upwards else "upper",
        interpolation="nearest",
        aspect="auto",
    )
    cell.axes.set_title(panel.title, fontsize=SMALL if "\n" in panel.title else TEXT, pad=2.5)
    if panel.chance is not None:
        rows, columns = np.nonzero(panel.chance)
        size = 72 * cell.side / max(panel.values.shape) / 3
        cell.axes.plot(columns, rows, "x", color="0.5", markersize=size, markeredgewidth=0.6)
    _name(cell.axes, panel, cell)
    return image


def _name(axes: Axes, panel: HeatmapPanel, cell: Cell) -> None:
    """Write the names beside the rows and below the columns, where the cell shows them."""
    for axis, names, shown in (
        (axes.yaxis, panel.rows, cell.names_rows),
        (axes.xaxis, panel.columns, cell.names_columns),
    ):
        step, size = _lines(len(names), cell.side)
        places = range(0, len(names), step) if shown else ()
        axis.set_ticks(list(places), [names[place] for place in places])
        axis.set_tick_params(labelsize=size)
    axes.tick_params(axis="x", labelrotation=90)


def _lines(n: int, side: float) -> tuple[int, float]:
    """Return how many names share a line of text in ``side`` inches, and the size of the text."""
    pitch = side * 72 / n
    step = math.ceil(SMALLEST / pitch)
    return step, min(SMALL, pitch * step)


def _write_numbers(cell: Cell, image: AxesImage, values: Float[np.ndarray, "r c"]) -> None:
    size = max(SMALLEST, min(TEXT, cell.side * 72 / len(values) / 2.6))
    for i, j in np.argwhere(~np.isnan(values)).tolist():
        red, green, blue, _ = image.cmap(image.norm(values[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < _DARK
        colour = "white" if dark else "black"
        number = f"{values[i, j]:.2f}"
        cell.axes.text(j, i, number, ha="center", va="center", fontsize=size, color=colour)
