"""``clbench leaderboard add``: a bundle that somebody sent, verified and added."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import options as opt
from clbench.cli.run import EXIT_USER
from clbench.cli.streams import code_of_others
from clbench.cli.verify import AskedModel, Audit
from clbench.schema.text import visible

Bundle = Annotated[Path, typer.Argument(help="What clbench bundle wrote.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder that holds records/ and leaderboard.csv.")]


def add(
    bundle: Bundle,
    out: Out = Path("results"),
    model: AskedModel = None,
    weights: opt.Weights = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    audit: Audit = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Verify a bundle at levels 1 and 2, at 3 with --audit, and add its record.

    What does not hold is a line each, and nothing is written. Nothing of a bundle is run.
    """
    from clbench.cli.render.tables import show_json
    from clbench.cli.render.verified import as_table, show_cost, show_verified
    from clbench.leaderboard.bundles.add import add as add_bundle
    from clbench.verification.request import Given

    given = Given(model=model, weights=weights, data=data, data_dir=data_dir)
    with code_of_others():
        done = add_bundle(bundle, out, given, audit=audit, device=device, on_cost=show_cost)
    if as_json:
        place = None if done.record is None else str(done.record)
        show_json(as_table(done.verified) | {"record": place, "is_new": done.is_new})
    else:
        show_verified(done.verified, as_json=False)
    if done.record is None:
        raise typer.Exit(EXIT_USER)
    if not as_json:
        typer.echo(visible(f"{'added' if done.is_new else 'already there:'} {done.record}"))
