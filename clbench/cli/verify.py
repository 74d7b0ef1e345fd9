"""``clbench verify``: is a record true?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli import readers
from clbench.cli.command import reads
from clbench.cli.run import EXIT_USER
from clbench.cli.streams import code_of_others

EXAMPLES = """\b
Examples:
  clbench verify results
  clbench verify results/records/digits/Linf/NAME.json --level 2
  clbench verify NAME.json --model net.py:make_net --data images.npz
  clbench verify NAME.json --audit 299
\b
Exit status: 0 all holds; 2 something does not, a line each.
"""

Target = Annotated[
    Path,
    typer.Argument(
        help="A record, or a folder with records; results unless given.", show_default=False
    ),
]
Level = Annotated[
    int | None,
    typer.Option(
        help="1: files; 2: the network is asked again; 3: robust examples are attacked again. As "
        "far as the other options are good for, unless given.",
        **reads(readers.level, "1|2|3"),
    ),
]
AskedModel = Annotated[
    str | None,
    typer.Option("--model", help="The network, where the record's name does not lead to it."),
]
Audit = Annotated[
    int | None,
    typer.Option(
        help="Draw N of the robust examples and attack them again; 299, unless given, find a share "
        "of 1 % with 95 %.",
        **reads(readers.audit, "N"),
    ),
]
Nonce = Annotated[
    str | None,
    typer.Option(help="Decides, with the evidence's hash, which are drawn; new unless given."),
]
AuditAttack = Annotated[
    str | None,
    typer.Option(
        help="What attacks them; stronger than the record's unless given.",
        autocompletion=opt.names_of("clbench.attacks.grammar:ATTACKS"),
        **reads(readers.attack),
    ),
]


def verify(
    record: Target = Path("results"),
    level: Level = None,
    model: AskedModel = None,
    weights: opt.Weights = None,
    output: seen.Output = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    audit: Audit = None,
    nonce: Nonce = None,
    attack: AuditAttack = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Check records that anybody made: their files, what the network says, and what is robust.

    Files need nothing else. Code of whoever made a record runs only where --model names it.
    """
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.verified import show_cost, show_verified

    del given["as_json"]
    with code_of_others():
        found = clbench.verify(**given, on_cost=show_cost)
    show_verified(found, as_json=as_json)
    if not found.holds:
        raise typer.Exit(EXIT_USER)
