"""``clbench show``: a record once more."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import options as opt
from clbench.cli.streams import say

if TYPE_CHECKING:
    from clbench.leaderboard.per_class import OfClass

Record = Annotated[
    Path,
    typer.Argument(
        help="A record (.json below results/records), or the name of a model that has one.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Folder with the records of a model that is named.")]


def show(record: Record, out: Out = Path("results"), as_json: opt.Json = False) -> None:
    """Print a record again: its numbers, what its flags mean, and each class by itself."""
    from clbench.cli.render.evaluation import record_json, show_proof, show_record
    from clbench.cli.render.tables import show_json, show_rows
    from clbench.leaderboard.chosen import path_of_record
    from clbench.leaderboard.per_class import per_class, read_with_evidence

    found, evidence, why = read_with_evidence(path_of_record(record, out))
    classes = per_class(evidence) if evidence is not None else []
    if as_json:
        show_json(
            json.loads(record_json(found)) | {"per_class": [one._asdict() for one in classes]}
        )
        return
    show_record(found)
    show_proof(found, evidence)
    if evidence is None:
        say(f"no accuracy of each class: {why}")
    else:
        show_rows("by class", [_row(one) for one in classes], as_json=False)


def _row(one: "OfClass") -> dict[str, str | int]:
    from clbench.cli.render.evaluation import percent

    return {
        "class": one.label,
        "examples": one.clean_acc.n,
        "clean": percent(one.clean_acc),
        "robust": percent(one.robust_acc),
        "95 % interval": f"{one.robust_acc.low:.1%} to {one.robust_acc.high:.1%}".replace(
            "%", " %"
        ),
    }
