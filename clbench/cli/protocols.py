"""``clbench protocols``: the evaluation protocols there are."""

from typing import Annotated

import typer


def protocols(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the protocols: data, threat model, attack, sample size."""
    from clbench.cli.show import show_rows
    from clbench.protocol import protocols as known

    show_rows(
        "protocols",
        [
            {
                "name": protocol.name,
                "dataset": protocol.dataset,
                "threat model": str(protocol.threat_model),
                "attack": protocol.attack,
                "examples": protocol.n_examples,
                "seed": protocol.seed,
                "about": protocol.about,
            }
            for protocol in known().values()
        ],
        as_json=as_json,
    )
