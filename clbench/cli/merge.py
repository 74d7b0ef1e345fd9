"""``clbench merge``: shards into records."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import options as opt
from clbench.cli.streams import say

if TYPE_CHECKING:
    from clbench.schema.records import EvaluationRecord

Folders = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Folders that clbench eval --shard wrote; records go into the first. results unless "
        "given.",
        show_default=False,
    ),
]


def merge(out: Folders = None, as_json: opt.Json = False) -> None:
    """Join shards into records and evidence, as if they had never been cut.

    A shard that is missing, unfinished, there twice or of another run is named; the other runs are
    joined all the same. It needs neither model nor images.
    """
    import clbench
    from clbench.cli.render.evaluation import record_json, show_record
    from clbench.cli.render.tables import show_json
    from clbench.leaderboard.table import CSV_NAME
    from clbench.schema.record_files import run_paths
    from clbench.schema.records import CKA_COLUMNS

    folders = out or [Path("results")]

    def show(record: "EvaluationRecord") -> None:
        if as_json:
            show_json(json.loads(record_json(record)), lines=True)
            return
        show_record(record)
        path = run_paths(folders[0], record.run).record
        typer.echo(f"{record.wall_s:.0f} s in all on {record.device}, seed {record.seed}")
        typer.echo(f"record {path}, leaderboard {folders[0] / CSV_NAME}")
        if record.measure(CKA_COLUMNS[0]) is None:
            say("for the CKA columns run the command without --shard; nothing is attacked again")

    clbench.merge(folders, on_record=show)
