"""The leaderboard for people and for papers: a choice of columns, in the form that is asked for."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import add
from typing import NamedTuple

from clbench.leaderboard.headings import headings
from clbench.leaderboard.outcomes import NOT_KNOWN, ByRun
from clbench.leaderboard.table import EXTERNAL, Cell, columns, in_order, table
from clbench.schema.errors import BadValueError
from clbench.schema.group import Group
from clbench.schema.names import look_up
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import visible

Row = dict[str, Cell | None]

DEFAULT_COLUMNS = (
    *("rank", "rank_low", "rank_high", "model", "dataset", "norm", "eps", "n_examples"),
    *("clean_acc", "robust_acc", "robust_acc_low", "robust_acc_high", "attack", "unreliable"),
)

TERMINAL_COLUMNS = (
    *("rank", "rank_low", "rank_high", "model", "dataset", "clean_acc", "robust_acc", "attack"),
)
"""What fits a terminal of 80 columns; norm and eps stand above the table."""

DOUBTFUL_COLUMNS = (*TERMINAL_COLUMNS[:-1], "unreliable")
"""The same where a number is unreliable."""

_DIGITS = 4
"""Of numbers in a table; the CSV file has more."""

_TEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}
_MARKDOWN = {one: f"\\{one}" for one in r"\`*_{}[]()<>#+!|~$"}


def rows(
    records: Sequence[EvaluationRecord], wanted: Sequence[str] = (), outcomes: ByRun = NOT_KNOWN
) -> list[Row]:
    """Return the rows of the leaderboard with these columns; by default the most asked for.

    Raises:
        UnknownNameError: A column that these records do not have; the message suggests the nearest.
        BadValueError: A column is there twice.
    """
    known = {name: name for name in (*columns(records), EXTERNAL)}
    chosen = [look_up(known, name, "column") for name in wanted or DEFAULT_COLUMNS]
    if twice := [name for name in chosen if chosen.count(name) > 1]:
        raise BadValueError(f"--columns has each column once, got {twice[0]!r} twice")
    board = table(records, outcomes)
    return [
        {name: _plain(value) for name, value in zip(chosen, values, strict=True)}
        for values in board.reindex(columns=chosen)
        .astype(object)
        .itertuples(index=False, name=None)
    ]


class Part(NamedTuple):
    """Rows that are ranked together, and what they have in common, in words."""

    heading: str
    rows: list[Row]


def with_band(row: Row) -> Row:
    """Return a row in which one cell holds the best and the worst rank.

    >>> with_band({"rank": 2, "rank_low": 1, "rank_high": 3, "model": "a"})
    {'rank': 2, 'band': '1-3', 'model': 'a'}
    """
    low, high = row["rank_low"], row["rank_high"]
    band = {"rank_low": "" if low is None else f"{low}-{high}"}
    one_cell = {name: cell for name, cell in (row | band).items() if name != "rank_high"}
    return {"band" if name == "rank_low" else name: cell for name, cell in one_cell.items()}


def parts(
    records: Sequence[EvaluationRecord], wanted: Sequence[str] = (), outcomes: ByRun = NOT_KNOWN
) -> list[Part]:
    """Return the rows of ``rows``, apart where they are not ranked together.

    Raises:
        ClbenchError: As ``rows``.
    """
    ordered = in_order(records)
    first = {record.group: record for record in reversed(ordered)}
    found: dict[Group, list[Row]] = {record.group: [] for record in ordered}
    for record, row in zip(ordered, rows(records, wanted, outcomes), strict=True):
        found[record.group].append(row)
    titles = headings([first[group] for group in found])
    return [Part(title, one) for title, one in zip(titles, found.values(), strict=True)]


def _plain(value: object) -> Cell | None:
    """Return a cell as Python has it, None where there is nothing."""
    if not isinstance(value, Cell) or value != value:  # noqa: PLR0124 - NaN differs from itself
        return None
    return value


def as_markdown(found: Sequence[Row]) -> str:
    r"""Return rows as a table of Markdown; what would be markup in it is text.

    >>> print(as_markdown([{"model": "a_b|c", "robust_acc": 0.25}]))
    | model | robust\_acc |
    |:---|---:|
    | a\_b\|c | 0.2500 |
    """
    head, *_ = _escaped(found[:1], _MARKDOWN, names=True)
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *_escaped(found, _MARKDOWN))]
    return "\n".join((lines[0], f"|{'|'.join(_aligned(found, ':---', '---:'))}|", *lines[1:]))


def as_latex(found: Sequence[Row], headings: Mapping[int, str] | None = None) -> str:
    r"""Return rows as a ``tabular`` of LaTeX with booktabs' rules; what would be a command is text.

    ``headings`` stand before the rows of these numbers.

    >>> print(as_latex([{"model": "a_b&c", "robust_acc": 0.25}]))
    \begin{tabular}{lr}
    \toprule
    model & robust\_acc \\
    \midrule
    a\_b\&c & 0.2500 \\
    \bottomrule
    \end{tabular}
    """
    head, *_ = _escaped(found[:1], _TEX, names=True)
    lines = [f"{' & '.join(cells)} \\\\" for cells in _escaped(found, _TEX)]
    special = str.maketrans(dict(_TEX))
    for number, heading in (headings or {}).items():
        text = visible(heading).translate(special)
        rule = "\\midrule\n" if number else ""
        lines[number] = (
            f"{rule}\\multicolumn{{{len(head)}}}{{l}}{{{text}}} \\\\\n\\midrule\n{lines[number]}"
        )
    return "\n".join(
        (
            f"\\begin{{tabular}}{{{''.join(_aligned(found, 'l', 'r'))}}}",
            *("\\toprule", f"{' & '.join(head)} \\\\", "\\midrule", *lines, "\\bottomrule"),
            "\\end{tabular}",
        )
    )


def _markdown(found: Sequence[Part]) -> str:
    """Return a table for each part, below its heading where there are several."""
    special = str.maketrans(_MARKDOWN)
    headings = [f"{visible(part.heading).translate(special)}\n\n" for part in found]
    tables = [as_markdown(part.rows) for part in found]
    if len(found) == 1:
        return tables[0]
    return "\n\n".join(map(add, headings, tables))


def _latex(found: Sequence[Part]) -> str:
    """Return one table, a rule and a heading before each part where there are several."""
    starts = accumulate((len(part.rows) for part in found), initial=0)
    headings = {start: part.heading for start, part in zip(starts, found, strict=False)}
    every = [row for part in found for row in part.rows]
    return as_latex(every, headings if len(found) > 1 else None)


FORMATS: Mapping[str, Callable[[Sequence[Part]], str]] = {"md": _markdown, "latex": _latex}
"""Forms for papers, beside the table for a terminal."""


def in_words(cell: Cell | None) -> str:
    """Return a cell as tables show it."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.{_DIGITS}f}" if math.isfinite(cell) else ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _escaped(
    found: Sequence[Row], special: Mapping[str, str], *, names: bool = False
) -> list[tuple[str, ...]]:
    """Return the texts of every row, or of its columns' names, with what is special escaped."""
    table = str.maketrans(dict(special))
    texts = (map(in_words, row) if names else map(in_words, row.values()) for row in found)
    return [tuple(visible(text).translate(table) for text in row) for row in texts]


def _aligned(found: Sequence[Row], left: str, right: str) -> list[str]:
    """Return how each column is aligned: numbers to the right."""
    first = found[0]
    return [
        right if any(type(row[name]) in {int, float} for row in found) else left for name in first
    ]
