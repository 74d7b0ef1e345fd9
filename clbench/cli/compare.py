"""``clbench compare``: what differs between networks beyond chance."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clbench.cli import options as opt

Records = Annotated[
    list[str],
    typer.Argument(
        help="Records (.json below results/records), folders, or names of models.",
        show_default=False,
    ),
]
Recipes = Annotated[
    bool,
    typer.Option("--recipes", help="Compare recipes, each by the mean over its training seeds."),
]
Out = Annotated[Path, typer.Option(help="Folder with the records of models that are named.")]
Format = Annotated[
    Literal["table", "md", "latex", "csv"],
    typer.Option("--format", help="For a terminal, a paper or a spreadsheet."),
]


def compare(
    records: Records,
    recipes: Recipes = False,
    out: Out = Path("results"),
    form: Format = "table",
    as_json: opt.Json = False,
) -> None:
    """Compare robust accuracies on the same examples, each network with each other one.

    Differences in percentage points have 95 % intervals for pairs; p-values are by McNemar's exact
    test, those of Holm's correction hold for all pairs of a table at once. It is refused where
    data, examples, norm, eps or attack differ.
    """
    import clbench
    from clbench.cli.render.compare import show_comparisons
    from clbench.cli.render.tables import show_json

    found = clbench.compare(records, recipes=recipes, out=out)
    if as_json:
        show_json([one.as_table() for one in found])
    else:
        show_comparisons(found, form)
