"""``clbench doctor``: what is wrong with this installation, and the line that mends it."""

from typing import TYPE_CHECKING

import typer

from clbench.cli import options as opt
from clbench.cli.run import EXIT_USER
from clbench.cli.streams import code_of_others

if TYPE_CHECKING:
    from clbench.diagnosis.diagnose import Row

_COLOURS = {"ok": "green", "warning": "yellow", "broken": "red"}


def doctor(as_json: opt.Json = False) -> None:
    """Look for known defects of this installation; exit with status 2 when something is broken.

    Each comes with the exact line that mends it. A warning is of what clbench works around.
    """
    from clbench.cli.render.console import PlainConsole
    from clbench.cli.render.tables import show_rows
    from clbench.diagnosis.diagnose import diagnose

    with PlainConsole(stderr=True).status("importing every package once"), code_of_others():
        rows = diagnose()
    if as_json:
        show_rows("doctor", [row._asdict() for row in rows], as_json=True)
    else:
        _show(rows)
    if any(row.outcome == "broken" for row in rows):
        raise typer.Exit(EXIT_USER)


def _show(rows: "list[Row]") -> None:
    from rich.table import Table
    from rich.text import Text

    from clbench.cli.render.console import PlainConsole
    from clbench.schema.text import visible

    console, table = PlainConsole(), Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        style = _COLOURS[row.outcome]
        found = Text(visible(row.found), overflow="fold")
        table.add_row(Text(row.outcome, style), row.check, found)
    console.print(table)
    for line in dict.fromkeys(row.mend for row in rows if row.mend):
        names = ", ".join(row.check for row in rows if row.mend == line)
        console.print(Text(f"\nto mend {names}:", "bold"))
        console.print(Text(f"  {visible(line)}"), soft_wrap=True)
