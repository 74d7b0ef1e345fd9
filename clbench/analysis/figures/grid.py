"""Where panels go on a page: computed in inches, so that nothing overlaps and nothing is cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clbench.analysis.figures.style import SMALL, TEXT, WIDTH, new_figure, text_width

Places = Sequence[Sequence[object | None]]
"""What goes where, by row from the top; None leaves a place empty."""

_LARGEST = {1: 3.2, 2: 2.3}
"""Inches of a panel's side, at most, where it stands alone and where two stand in a row."""

_GAP = 0.09
_LINE = 1.25 * TEXT / 72
_BAR_WIDTH, _BAR_HEIGHT = 0.11, 2.0
_BAR_SPACE = 0.5  # with its gap and its numbers


@dataclass(frozen=True, eq=False)
class Cell:
    """A panel's place: square axes of ``side`` inches, and which of their names are written."""

    row: int
    column: int
    axes: Axes
    side: float
    names_rows: bool
    names_columns: bool


@dataclass(frozen=True)
class Page:
    """The estimates of a page of square panels, in inches.

    Attributes:
        places: What goes where.
        title: Of the page.
        note: A second line below the title.
        longest: Characters of the longest name beside or below a panel.
        shared: Whether the names are written once for each row and column.
        heads: Lines of the panels' titles.
    """

    places: Places
    title: str
    note: str
    longest: int
    shared: bool
    heads: int = 1

    @property
    def columns(self) -> int:
        """Panels in a row, at most."""
        return max(map(len, self.places))

    @cached_property
    def names(self) -> float:
        """The room for names at one side."""
        return text_width("m" * self.longest, SMALL) + 0.1

    @property
    def gap(self) -> float:
        """The room between two panels."""
        return _GAP if self.shared else _GAP + self.names

    @cached_property
    def side(self) -> float:
        """The side of a panel."""
        room = WIDTH - self.names - _BAR_SPACE - (self.columns - 1) * self.gap
        return min(_LARGEST.get(self.columns, WIDTH), room / self.columns)

    @property
    def head(self) -> float:
        """The room above a panel."""
        return self.heads * _LINE + 0.05

    @property
    def top(self) -> float:
        """The room above all panels."""
        return 0.1 + _LINE * (2 if self.note else 1)

    @cached_property
    def width(self) -> float:
        """The page's width: all that there is, or less where few panels stand on it."""
        panels = self.names + self.columns * (self.side + self.gap) - self.gap + _BAR_SPACE
        text = max(text_width(self.title, TEXT * 1.15), text_width(self.note, SMALL)) + 0.1
        return min(WIDTH, max(panels, text))

    @cached_property
    def height(self) -> float:
        """The page's height."""
        n = len(self.places)
        return self.top + n * (self.head + self.side + self.gap) - self.gap + self.names

    def left(self, column: int) -> float:
        """Return where a column of panels begins."""
        return self.names + column * (self.side + self.gap)

    def bottom(self, row: int) -> float:
        """Return where a row of panels ends, from below."""
        return self.height - self.top - (row + 1) * (self.head + self.side) - row * self.gap

    def add(self, figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
        """Return new axes at a place in inches."""
        w, h = self.width, self.height
        return figure.add_axes((left / w, bottom / h, width / w, height / h))


def lay_out(page: Page) -> tuple[Figure, list[Cell], Axes]:
    """Return a page with its title, a place for every panel, and one for the colour bar."""
    figure = new_figure(page.width, page.height)
    _write_titles(figure, page)
    cells = [
        Cell(
            i,
            j,
            page.add(figure, page.left(j), page.bottom(i), page.side, page.side),
            page.side,
            names_rows=not page.shared or all(other is None for other in row[:j]),
            names_columns=not page.shared or _is_lowest(page.places, i, j),
        )
        for i, row in enumerate(page.places)
        for j, one in enumerate(row)
        if one is not None
    ]
    left, height = page.left(page.columns) - page.gap + 0.08, min(page.side, _BAR_HEIGHT)
    bottom = page.bottom(0) + page.side - height
    return figure, cells, page.add(figure, left, bottom, _BAR_WIDTH, height)


def _write_titles(figure: Figure, page: Page) -> None:
    left, top = 0.05 / page.width, 1 - 0.05 / page.height
    figure.text(left, top, page.title, fontsize=TEXT, fontweight="bold", va="top")
    below = top - _LINE / page.height
    figure.text(left, below, page.note, fontsize=SMALL, va="top", color="0.3")


def _is_lowest(places: Places, i: int, j: int) -> bool:
    return all(j >= len(row) or row[j] is None for row in places[i + 1 :])
