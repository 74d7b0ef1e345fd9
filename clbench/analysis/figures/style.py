"""How figures look: sizes for print, colours that all eyes can tell apart, and the same bytes."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from clbench.schema.names import SCENARIOS
from clbench.schema.text import visible

WIDTH = 6.9
"""Inches: the width of the text in a two-column paper."""

TEXT = 7.0
SMALL = 6.0
SMALLEST = 5.0
"""Points; nothing is written smaller."""

MAP = "viridis"
UNDEFINED = "0.85"
"""Cells without a value are grey, which the map does not hold."""

COLOURS = (
    "#D55E00",
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)
"""Okabe and Ito's palette without its yellow, which is too light for lines on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

DPI = 200

_LONGEST = 24  # characters of a name on an axis

_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": DPI, "metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None}},
}
FORMATS = tuple(_FORMATS)
"""The formats in which every figure is written."""

_SETTINGS: dict[Any, Any] = {  # matplotlib's type of a key lists every setting
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.pad": 1.5,
    "ytick.major.pad": 1.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 2.5,
    "svg.hashsalt": "clbench",
    "text.parse_math": False,  # a name with two dollars in it is no formula
}


def numbered(labels: Iterable[str]) -> dict[str, int]:
    """Return which colour and marker each label has, in the order of the legend.

    Scenarios have the same ones in every figure; other labels have them in order, over again where
    there are more than colours.

    >>> numbered(["full_at", "at", "at"])
    {'at': 1, 'full_at': 3}
    """
    found = list(dict.fromkeys(labels))
    if set(found) <= set(SCENARIOS):
        return {label: place for place, label in enumerate(SCENARIOS) if label in found}
    return {label: place % len(COLOURS) for place, label in enumerate(found)}


@contextmanager
def styled() -> Iterator[None]:
    """Let figures be made in our style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, outside of any interactive session."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def draw(figure: Figure, form: str) -> bytes:
    """Return a figure as a file of a format in ``FORMATS``; equal figures give equal bytes.

    Names in it are visible text: an escape character is not allowed in an SVG file.
    """
    file = io.BytesIO()
    with styled():
        for text in figure.findobj(Text):
            text.set_text("\n".join(map(visible, text.get_text().split("\n"))))
        figure.savefig(file, format=form, **_FORMATS[form])
    return file.getvalue()


def elided(name: str) -> str:
    """Return a name that is not too long for an axis; the end of it tells modules apart.

    >>> elided("network.encoder.encoder.layer1.0.conv2")
    '…encoder.layer1.0.conv2'
    """
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :].lstrip('.')}"


def text_width(text: str, size: float) -> float:
    """Return about how many inches a text takes, at ``size`` points."""
    return len(text) * 0.6 * size / 72
