"""How commands show what they have: a table for people, JSON for machines."""

import json
from collections.abc import Mapping, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clbench.cli.render.console import PlainConsole
from clbench.schema.dataclass_io import to_table
from clbench.schema.text import visible

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
    """Print ``rows``, all with the same keys, as a table or as a JSON list."""
    if as_json:
        show_json(list(rows))
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in rows[0] if rows else ():
        numeric = isinstance(rows[0][heading], int | float)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else visible(str(cell)) for cell in row.values()))
    PlainConsole().print(table)
