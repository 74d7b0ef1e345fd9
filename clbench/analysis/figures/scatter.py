"""Two numbers of every model against each other, with the intervals of both."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clbench.analysis.figures.style import (
    COLOURS,
    MARKERS,
    SMALL,
    TEXT,
    WIDTH,
    elided,
    new_figure,
    numbered,
    styled,
    text_width,
)
from clbench.schema.estimate import Estimate

_HEIGHT, _WIDEST = 2.75, 2.6
_LEFT, _BOTTOM, _TOP, _GAP = 0.45, 0.4, 0.45, 0.35


class Point(NamedTuple):
    """A model: its colour tells ``hue``, its marker tells ``shape``."""

    hue: str
    shape: str
    x: Estimate
    y: Estimate


def scatter(
    panels: Mapping[str, Sequence[Point]], *, title: str, x_label: str, y_label: str
) -> Figure:
    """Return a mark for every model with its 95 % intervals in both directions.

    Args:
        panels: Points by the title of their panel, which each has its own scale; two at most.
        title: Of the page.
        x_label: What is from left to right.
        y_label: What is upwards.
    """
    points = [point for panel in panels.values() for point in panel]
    hues, shapes = numbered([p.hue for p in points]), numbered([p.shape for p in points])
    legend = max(text_width(elided(name), SMALL) for name in (*hues, *shapes)) + 0.5
    side = min(_WIDEST, (WIDTH - _LEFT - legend) / len(panels) - _GAP)
    with styled():
        figure = new_figure(WIDTH, _HEIGHT)
        figure.text(0.05 / WIDTH, 1 - 0.05 / _HEIGHT, title, fontweight="bold", va="top")
        for i, (heading, panel) in enumerate(panels.items()):
            left, width = (_LEFT + i * (side + _GAP)) / WIDTH, side / WIDTH
            height = 1 - (_BOTTOM + _TOP) / _HEIGHT
            axes = figure.add_axes((left, _BOTTOM / _HEIGHT, width, height))
            for point in panel:
                _draw(axes, point, COLOURS[hues[point.hue]], MARKERS[shapes[point.shape]])
            axes.set(xlabel=x_label, ylabel="" if i else y_label)
            _finish(axes, heading)
        place = (_LEFT + len(panels) * (side + _GAP) - 0.25) / WIDTH, 1 - 0.38 / _HEIGHT
        figure.legend(handles=_handles(hues, shapes), loc="upper left", bbox_to_anchor=place)
    return figure


def _draw(axes: Axes, point: Point, colour: str, marker: str) -> None:
    axes.errorbar(
        point.x.value,
        point.y.value,
        xerr=_arms(point.x),
        yerr=_arms(point.y),
        color=colour,
        marker=marker,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.4,
        elinewidth=0.6,
        linestyle="none",
    )


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=TEXT, pad=2.5)
    axes.grid(linewidth=0.4, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _arms(estimate: Estimate) -> list[list[float]]:
    """Return how far the interval goes down and up, 0 where there is none."""
    arms = (estimate.value - estimate.low, estimate.high - estimate.value)
    return [[0.0 if math.isnan(arm) else arm] for arm in arms]


def _handles(hues: Mapping[str, int], shapes: Mapping[str, int]) -> list[Line2D]:
    of_hues = [
        Line2D([], [], color=COLOURS[place], linewidth=4, label=elided(name))
        for name, place in hues.items()
    ]
    of_shapes = [
        Line2D([], [], color="0.3", marker=MARKERS[place], linestyle="none", label=elided(name))
        for name, place in shapes.items()
    ]
    return [*of_hues, *of_shapes]
