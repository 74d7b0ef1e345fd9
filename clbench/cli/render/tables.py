"""How commands show what they have: a table for people, JSON for machines."""

import json
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clbench.cli.render.console import PlainConsole
from clbench.schema.dataclass_io import to_table
from clbench.schema.text import visible

_WIDEST = 10_000
"""Columns of a line, at most."""

Cell = str | int | float | bool | None


def show_json(value: object, *, lines: bool = False) -> None:
    """Print a value as JSON, numbers that there are not as null; in one line where asked."""
    text = json.dumps(to_table(value), indent=None if lines else 1, allow_nan=False)
    print(text, flush=lines)


def show_entries(entries: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print each heading with its lines below it, wrapped to the width of the terminal."""
    console = PlainConsole()
    for heading, lines in entries:
        console.print(Text(visible(heading), style="bold"))
        for line in lines:
            console.print(Padding(Text(visible(line)), (0, 0, 0, 2)))


def show_rows(title: str, rows: Sequence[Mapping[str, Cell]], *, as_json: bool) -> None:
    """Print ``rows``, all with the same keys, as a table or as a JSON list.

    No word is broken: where the terminal is narrower than the longest ones, lines are longer.
    """
    if as_json:
        show_json(list(rows))
        return
    texts = [
        {name: "" if cell is None else visible(str(cell)) for name, cell in row.items()}
        for row in rows
    ]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in rows[0] if rows else ():
        numeric = isinstance(rows[0][heading], int | float)
        words = [word for row in texts for word in row[heading].split()]
        longest = max(map(cell_len, (*words, *heading.split())), default=0)
        table.add_column(heading, justify="right" if numeric else "left", min_width=longest)
    for row in texts:
        table.add_row(*row.values())
    console = PlainConsole()
    least = Measurement.get(console, console.options.update(max_width=_WIDEST), table).minimum
    if title:
        console.print(Text(visible(title), style="italic"), soft_wrap=True)
    console.print(table, width=max(console.width, least), crop=False)
