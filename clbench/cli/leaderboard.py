"""``clbench leaderboard``: from records to the CSV file, and to tables."""

from pathlib import Path
from typing import Annotated, Literal, no_type_check

import typer

from clbench.cli import options as opt
from clbench.cli.command import Command, Group, show_help_unless_asked
from clbench.cli.run import EXIT_USER
from clbench.schema.text import visible

leaderboard = typer.Typer(cls=Group, help="Build, check or show leaderboard.csv.")

Out = Annotated[Path, typer.Option(help="Folder that holds records/ and leaderboard.csv.")]
Format = Annotated[
    Literal["table", "md", "latex"], typer.Option("--format", help="For a terminal or a paper.")
]
Columns = Annotated[
    str, typer.Option(help="Names of columns of leaderboard.csv, with commas between them.")
]


@leaderboard.callback(invoke_without_command=True)
@no_type_check  # typer gives the base class of the context that it lets a command ask for
def top(context: typer.Context) -> None:
    """Build, check or show leaderboard.csv."""
    show_help_unless_asked(context)


@leaderboard.command(cls=Command)
def build(out: Out = Path("results"), as_json: opt.Json = False) -> None:
    """Write leaderboard.csv from the records."""
    from clbench.cli.render.tables import show_json
    from clbench.leaderboard.table import build as build_csv

    path = build_csv(out)
    if as_json:
        show_json({"csv": str(path)})
    else:
        typer.echo(visible(f"wrote {path}"))


@leaderboard.command(cls=Command)
def check(out: Out = Path("results"), as_json: opt.Json = False) -> None:
    """Check records against their evidence, and leaderboard.csv against the records.

    That is level 1 of clbench verify.
    """
    from clbench.cli.render.verified import show_verified
    from clbench.leaderboard.check import check as check_records

    checked = check_records(out)
    show_verified(checked, as_json=as_json)
    if not checked.holds:
        raise typer.Exit(EXIT_USER)


@leaderboard.command(cls=Command)
def show(
    out: Out = Path("results"),
    form: Format = "table",
    columns: Columns = "",
    as_json: opt.Json = False,
) -> None:
    """Show the leaderboard of the records: as a table, for a paper, or for machines."""
    from clbench.cli.render.tables import show_json, show_rows
    from clbench.leaderboard.formats import (
        DOUBTFUL_COLUMNS,
        FORMATS,
        TERMINAL_COLUMNS,
        in_words,
        parts,
        rows,
        with_band,
    )
    from clbench.leaderboard.table import read_ranked

    wanted = [name.strip() for name in columns.split(",")] if columns else []
    found, outcomes = read_ranked(out)
    if as_json:
        show_json(rows(found, wanted, outcomes))
        return
    if form in FORMATS:
        print(FORMATS[form](parts(found, wanted, outcomes)))
        return
    doubtful = any(record.unreliable for record in found)
    usual = DOUBTFUL_COLUMNS if doubtful else TERMINAL_COLUMNS
    shown = parts(found, wanted or usual, outcomes)
    for number, (heading, ranked) in enumerate(shown):
        if number:
            print()
        listed = ranked if wanted else map(with_band, ranked)
        texts = [{name: in_words(cell) for name, cell in row.items()} for row in listed]
        show_rows(heading if not wanted or len(shown) > 1 else "", texts, as_json=False)


@leaderboard.command(cls=Command)
def upgrade(out: Out = Path("results"), as_json: opt.Json = False) -> None:
    """Bind records of version 0.1 to their evidence, after recomputing them from it."""
    from clbench.cli.render.tables import show_json
    from clbench.leaderboard.upgrade import upgrade as upgrade_records

    bound = upgrade_records(out)
    if as_json:
        show_json({"bound": [str(path) for path in bound]})
        return
    for path in bound:
        typer.echo(visible(f"bound {path}"))
    typer.echo(visible(f"all records under {out} are bound to their evidence"))
