"""``clbench leaderboard``: from records to the CSV file."""

from pathlib import Path
from typing import Annotated

import typer

leaderboard = typer.Typer(no_args_is_help=True, help="Build or check leaderboard.csv.")

Out = Annotated[Path, typer.Option(help="Folder that holds records/ and leaderboard.csv.")]


@leaderboard.command()
def build(out: Out = Path("results")) -> None:
    """Write leaderboard.csv from the records."""
    from clbench.leaderboard.table import build as build_csv

    typer.echo(f"wrote {build_csv(out)}")


@leaderboard.command()
def check(out: Out = Path("results")) -> None:
    """Say whether leaderboard.csv is what its records give."""
    from clbench.leaderboard.table import CSV_NAME
    from clbench.leaderboard.table import check as check_csv

    typer.echo(f"{out / CSV_NAME} is what its {check_csv(out)} records give")
