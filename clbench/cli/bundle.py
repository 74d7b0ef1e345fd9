"""``clbench bundle``: one file to send to whoever keeps a leaderboard."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import options as opt
from clbench.schema.text import visible

Record = Annotated[
    Path, typer.Argument(help="Below records/ in a folder of results.", show_default=False)
]
BundledWeights = Annotated[
    Path | None,
    typer.Option(help="Weights of the network, of safetensors, to be sent with it."),
]
WeightsUrl = Annotated[
    str, typer.Option(help="Where anybody can fetch them.", metavar="URL", show_default=False)
]
Out = Annotated[Path | None, typer.Option(help="The file to write; NAME.clbench.zip unless given.")]


def bundle(
    record: Record,
    weights: BundledWeights = None,
    weights_url: WeightsUrl = "",
    out: Out = None,
    as_json: opt.Json = False,
) -> None:
    """Pack a record, what proves it and a card into one file that anybody can verify.

    clbench leaderboard add verifies and adds it. Networks of the zoo, timm and RobustBench with
    their own weights need neither --weights nor --weights-url.
    """
    import clbench
    from clbench.cli.render.tables import show_json

    path = clbench.bundle(record, weights=weights, weights_url=weights_url, out=out)
    if as_json:
        show_json({"bundle": str(path)})
    else:
        typer.echo(visible(f"wrote {path}"))
