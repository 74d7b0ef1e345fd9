"""How commands show what they have: a table for people, JSON for machines."""

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Cell = str | int | float | bool | None


def show_entries(entries: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print each heading with its lines below it, wrapped to the width of the terminal."""
    console = Console(highlight=False)
    for heading, lines in entries:
        console.print(Text(heading, style="bold"))
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 2)))


def show_rows(title: str, rows: Sequence[Mapping[str, Cell]], *, as_json: bool) -> None:
    """Print ``rows``, all with the same keys, as a table or as a JSON list."""
    if as_json:
        print(json.dumps(list(rows), indent=1))
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in rows[0] if rows else ():
        numeric = isinstance(rows[0][heading], int | float)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row.values()))
    Console().print(table)
