"""``clbench leaderboard``: from records to the CSV file, and to tables."""

import json
from pathlib import Path
from typing import Annotated, Literal, no_type_check

import typer

from clbench.cli import options as opt
from clbench.cli import readers
from clbench.cli.command import Command, Group, reads, show_help_unless_asked
from clbench.cli.run import EXIT_USER
from clbench.cli.streams import code_of_others, say
from clbench.schema.text import visible

leaderboard = typer.Typer(cls=Group, help="Build, check, show or export leaderboard.csv.")

Out = Annotated[Path, typer.Option(help="Folder that holds records/ and leaderboard.csv.")]
Format = Annotated[
    Literal["table", "md", "latex"], typer.Option("--format", help="For a terminal or a paper.")
]
Columns = Annotated[
    str, typer.Option(help="Names of columns of leaderboard.csv, with commas between them.")
]
WithRobustBench = Annotated[
    Path | None,
    typer.Option(help="A copy of RobustBench's model_info, whose entries stand beside ours."),
]
ExportFormat = Annotated[
    Literal["robustbench", "every-eval-ever", "hf-model-index"],
    typer.Option("--format", help="Whose files.", show_default=False),
]
About = Annotated[
    Path | None,
    typer.Option(help="TOML with papers and authors: [models.NAME] link, name, authors, ..."),
]


@leaderboard.callback(invoke_without_command=True)
@no_type_check  # typer gives the base class of the context that it lets a command ask for
def top(context: typer.Context) -> None:
    """Build, check, show or export leaderboard.csv."""
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
    with_robustbench: WithRobustBench = None,
    as_json: opt.Json = False,
) -> None:
    """Show the leaderboard of the records: as a table, for a paper, or for machines."""
    from clbench.cli.render.tables import show_json, show_rows
    from clbench.leaderboard.formats import (
        DOUBTFUL_COLUMNS,
        FORMATS,
        TERMINAL_COLUMNS,
        in_words,
        with_band,
    )
    from clbench.leaderboard.published import beside_published
    from clbench.leaderboard.table import read_ranked

    wanted = [name.strip() for name in columns.split(",")] if columns else []
    found, outcomes = read_ranked(out)
    plain = not columns and not as_json and form not in FORMATS
    if plain:
        doubtful = any(record.unreliable for record in found)
        wanted = list(DOUBTFUL_COLUMNS if doubtful else TERMINAL_COLUMNS)
    shown = beside_published(found, wanted, outcomes, with_robustbench)
    if as_json:
        show_json([row for part in shown for row in part.rows])
        return
    if form in FORMATS:
        print(FORMATS[form](shown))
        return
    for number, (heading, ranked) in enumerate(shown):
        if number:
            print()
        listed = map(with_band, ranked) if plain else ranked
        texts = [{name: in_words(cell) for name, cell in row.items()} for row in listed]
        show_rows(heading if plain or len(shown) > 1 else "", texts, as_json=False)


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


@leaderboard.command(cls=Command)
def export(
    to: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    form: ExportFormat,
    out: Out = Path("results"),
    about: About = None,
    as_json: opt.Json = False,
) -> None:
    """Write the records as the files of another leaderboard."""
    import clbench
    from clbench.cli.render.tables import show_json

    done = clbench.export_leaderboard(to, form=form, out=out, about=about)
    if as_json:
        show_json({"paths": [str(path) for path in done.paths], "left_out": done.left_out})
        return
    for line in done.left_out:
        say(f"left out {line}")
    for path in done.paths:
        typer.echo(visible(f"wrote {path}"))


@leaderboard.command(cls=Command)
def external(
    record: Annotated[
        Path, typer.Argument(help="A record: a .json file in records.", show_default=False)
    ],
    source: Annotated[
        str, typer.Option(help="Whose attack it was: a paper, an address.", show_default=False)
    ],
    robust_acc: Annotated[
        float | None,
        typer.Option(
            help="Share of images that stay robust, such as 0.584.",
            **reads(readers.robust_acc, "SHARE"),
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help=".npz with index [m] and adversarial [m, c, h, w], floats in [0, 1]; all are "
            "checked."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The network of the record, as for clbench eval.")
    ] = None,
    weights: opt.Weights = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    as_json: opt.Json = False,
) -> None:
    """Add to a record a lower robust accuracy that somebody else's attack found."""
    import clbench
    from clbench.cli.render.evaluation import record_json, show_record

    with code_of_others():
        changed = clbench.add_external(
            record,
            source=source,
            robust_acc=robust_acc,
            certificate=certificate,
            model=model,
            weights=weights,
            data=data,
            data_dir=data_dir,
        )
    if as_json:
        from clbench.cli.render.tables import show_json

        show_json(json.loads(record_json(changed)))
        return
    show_record(changed)
