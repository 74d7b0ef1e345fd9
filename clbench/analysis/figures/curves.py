"""Numbers along the depth of networks as lines, with their intervals as bands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clbench.analysis.figures.style import (
    COLOURS,
    MARKERS,
    SMALL,
    SMALLEST,
    TEXT,
    WIDTH,
    elided,
    new_figure,
    numbered,
    styled,
    text_width,
)
from clbench.schema.estimate import Estimate

Curves = Mapping[str, Sequence[Estimate]]
"""Lines by their label; each estimate is called after its layer."""

_PANEL = 1.6  # inches high
_GAP, _LEFT, _RIGHT, _TOP, _HEAD = 0.12, 0.55, 0.08, 0.2, 0.2
_LINE = 1.6 * SMALL / 72
_LIGHT = 0.18
Style = Literal["-", "--", ":"]
_STYLES: tuple[Style, ...] = ("-", "--", ":")
_TICKS = 5
_MARGIN = 0.02
_MARKS = 30  # on a line, at most, so that they do not touch


class CurvePanel(NamedTuple):
    """Lines in one pair of axes; what ``chance`` alone gives at each of their points is dotted."""

    title: str
    y_label: str
    curves: Curves
    chance: Mapping[str, Sequence[float]] = MappingProxyType({})


def depth_curves(
    rows: Sequence[Sequence[CurvePanel]],
    title: str,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Return panels of lines over the layers, in the order of execution, with 95 % bands.

    A label has the same colour and marker in every panel; undefined values interrupt a line. All
    panels share one scale: ``value_range``, and down to the lowest bound where that is less.

    Args:
        rows: Panels by row from the top.
        title: Of the page.
        value_range: What the values can be.
    """
    page = _Page(rows, title, value_range)
    with styled():
        figure = new_figure(WIDTH, page.height)
        figure.text(0.05 / WIDTH, 1 - 0.05 / page.height, title, fontweight="bold", va="top")
        for i, row in enumerate(rows):
            for j, panel in enumerate(row):
                axes = figure.add_axes(page.place(i, j))
                _draw(axes, panel, page)
                _name_layers(axes, page, shown=i == len(rows) - 1)
                _finish(axes, panel, page, first=j == 0)
        looks = {label: page.look(label) for label in page.labels}
        figure.legend(
            handles=[look.line(label) for label, look in looks.items()],
            loc="lower left",
            ncols=page.legend_columns,
            bbox_to_anchor=(_LEFT / WIDTH, 0),
            borderaxespad=0.3,
        )
    return figure


class _Look(NamedTuple):
    colour: str
    marker: str
    style: Style

    def line(self, label: str) -> Line2D:
        """Return what stands for a curve in the legend."""
        colour, marker, style = self
        return Line2D([], [], color=colour, marker=marker, linestyle=style, label=label)


@dataclass(frozen=True)
class _Page:
    """What all panels share, and where each of them goes."""

    rows: Sequence[Sequence[CurvePanel]]
    title: str
    value_range: tuple[float, float]

    @cached_property
    def curves(self) -> list[tuple[str, Sequence[Estimate]]]:
        """All curves with their labels."""
        return [item for row in self.rows for panel in row for item in panel.curves.items()]

    @cached_property
    def labels(self) -> dict[str, int]:
        """The number of each label's colour, in the order of the legend."""
        return numbered(label for label, _ in self.curves)

    @cached_property
    def layers(self) -> dict[str, int]:
        """Where each layer is: in the order of the longest curve, then what others add."""
        by_length = sorted((curve for _, curve in self.curves), key=len, reverse=True)
        names = dict.fromkeys(estimate.name for curve in by_length for estimate in curve)
        return {name: place for place, name in enumerate(names)}

    @cached_property
    def lowest(self) -> float:
        """Where the scale begins."""
        bounds = [bound for _, curve in self.curves for m in curve for bound in (m.value, m.low)]
        return float(np.nanmin([*self.value_range, *bounds])) - _MARGIN

    @property
    def legend_columns(self) -> int:
        """How many labels stand beside each other."""
        longest = max(text_width(label, SMALL) for label in self.labels) + 0.45
        return max(1, min(len(self.labels), int((WIDTH - _LEFT) / longest)))

    @cached_property
    def below(self) -> float:
        """Inches below the panels, for the names of the layers and the legend."""
        names = max(text_width(elided(layer), SMALL) for layer in self.layers) + 0.1
        return names + _LINE * math.ceil(len(self.labels) / self.legend_columns) + 0.08

    @cached_property
    def height(self) -> float:
        """The height of the page in inches."""
        return _TOP + len(self.rows) * (_HEAD + _PANEL) + self.below

    @cached_property
    def panel_width(self) -> float:
        """The width of a panel in inches."""
        columns = max(map(len, self.rows))
        return (WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) / columns

    def place(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return where a panel goes, in parts of the page."""
        left = _LEFT + column * (self.panel_width + _GAP)
        bottom = self.height - _TOP - (row + 1) * (_HEAD + _PANEL)
        width, height = self.panel_width / WIDTH, _PANEL / self.height
        return left / WIDTH, bottom / self.height, width, height

    def look(self, label: str) -> _Look:
        """Return how the curves of a label look."""
        place, turn = self.labels[label], list(self.labels).index(label) // len(COLOURS)
        return _Look(COLOURS[place], MARKERS[place], _STYLES[turn % len(_STYLES)])


def _draw(axes: Axes, panel: CurvePanel, page: _Page) -> None:
    for label, curve in panel.curves.items():
        look, x = page.look(label), [page.layers[estimate.name] for estimate in curve]
        low, high = [estimate.low for estimate in curve], [estimate.high for estimate in curve]
        axes.fill_between(x, low, high, color=look.colour, alpha=_LIGHT, linewidth=0)
        axes.plot(
            x,
            [estimate.value for estimate in curve],
            color=look.colour,
            marker=look.marker,
            linestyle=look.style,
            markevery=math.ceil(len(x) / _MARKS),
        )
        if label in panel.chance:
            axes.plot(x, panel.chance[label], color=look.colour, linestyle=":", linewidth=1)


def _name_layers(axes: Axes, page: _Page, *, shown: bool) -> None:
    """Name the layers below the axes; where they are more than lines of text, some are left out."""
    pitch = page.panel_width * 72 / len(page.layers)
    step = math.ceil(SMALLEST / pitch)
    names = list(page.layers)[::step]
    labels = [elided(name) if shown else "" for name in names]
    size = min(SMALL, pitch * step)
    axes.set_xticks([page.layers[name] for name in names], labels, rotation=90, fontsize=size)
    axes.set_xlim(-0.4, len(page.layers) - 0.6)


def _finish(axes: Axes, panel: CurvePanel, page: _Page, *, first: bool) -> None:
    axes.set_title(panel.title, fontsize=TEXT, pad=2.5)
    least, most = sorted(page.value_range)
    axes.set_ylim(page.lowest, most + _MARGIN)
    axes.set_yticks(np.linspace(least, most, _TICKS))
    axes.grid(axis="y", linewidth=0.4, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelleft=first)
    if first:
        axes.set_ylabel(panel.y_label, labelpad=2)
