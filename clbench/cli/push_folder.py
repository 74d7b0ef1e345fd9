"""``clbench push-folder``: a model as a repository of the Hugging Face Hub needs it."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import options as opt
from clbench.schema.text import visible

EXAMPLES = """\b
Examples:
  clbench push-folder simclr_at.digits --results results
  clbench push-folder runs/simclr_at --out hub/simclr_at
"""

Published = Annotated[
    str,
    typer.Argument(
        help="A folder that clbench import, train or head made, or a zoo name with its tag.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(rich_help_panel=opt.OUTPUT, help="Folder to write; hub/NAME unless given."),
]
Results = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="Folder of clbench eval, whose records of these weights the card tells.",
    ),
]


def push_folder(
    model: Published, out: Out = None, results: Results = None, as_json: opt.Json = False
) -> None:
    """Write weights, config.json and card as a hub needs them; nothing is sent anywhere.

    timm reads the folder, and so does --model.
    """
    import clbench
    from clbench.cli.render.tables import show_json

    made = clbench.push_folder(model, out=out, results=results)
    if as_json:
        show_json(made._asdict() | {"folder": str(made.folder)})
        return
    typer.echo(visible(f"wrote {', '.join(made.files)} into {made.folder}"))
    typer.echo(visible(f"next: {made.command}"))
