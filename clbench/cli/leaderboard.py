"""``clbench leaderboard``: from records to the CSV file."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.run import EXIT_USER

leaderboard = typer.Typer(no_args_is_help=True, help="Build or check leaderboard.csv.")

Out = Annotated[Path, typer.Option(help="Folder that holds records/ and leaderboard.csv.")]


@leaderboard.command()
def build(out: Out = Path("results")) -> None:
    """Write leaderboard.csv from the records."""
    from clbench.leaderboard.table import build as build_csv

    typer.echo(f"wrote {build_csv(out)}")


@leaderboard.command()
def check(out: Out = Path("results")) -> None:
    """Check records against their evidence, and leaderboard.csv against the records."""
    from clbench.leaderboard.check import check as check_records

    checked = check_records(out)
    for problem in checked.problems:
        typer.echo(f"clbench: {problem}", err=True)
    for path in checked.unbound:
        typer.echo(f"{path} is unbound: clbench leaderboard upgrade --out {out} binds it")
    problems = len(checked.problems)
    typer.echo(f"{checked.n_records} records, {problems} problem{'s' * (problems != 1)}")
    typer.echo(f"not checked: {', '.join(checked.not_checked) or 'nothing'}")
    if checked.problems:
        raise typer.Exit(EXIT_USER)


@leaderboard.command()
def upgrade(out: Out = Path("results")) -> None:
    """Bind records of version 0.1 to their evidence, after recomputing them from it."""
    from clbench.leaderboard.upgrade import upgrade as upgrade_records

    for path in upgrade_records(out):
        typer.echo(f"bound {path}")
    typer.echo(f"all records under {out} are bound to their evidence")
