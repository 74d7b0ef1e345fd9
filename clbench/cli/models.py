"""``clbench models``: the models there are, and where their weights come from."""

from typing import Annotated

import typer

ELSEWHERE = """
[bold]--model[/bold] also reads
  timm:NAME            any model of timm, its weights from --weights FILE.safetensors
  robustbench:NAME     a model of RobustBench's zoo
  FILE.py:FACTORY      your own: a function without arguments that returns a network
  pkg.mod:FACTORY      the same, from an installed package"""


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the models of the zoo and those that installed packages registered."""
    from rich import print as show

    from clbench.cli.show import show_rows
    from clbench.models.factory import registered_models
    from clbench.models.weights import availability
    from clbench.models.zoo import ZOO

    rows = [
        {
            "model": spec.full_name,
            "scheme": spec.scheme,
            "scenario": spec.scenario,
            "dataset": spec.dataset,
            "backbone": spec.backbone,
            "weights": availability(spec),
        }
        for spec in ZOO
    ]
    nothing = dict.fromkeys(("scheme", "scenario", "dataset", "backbone"), "")
    rows += [
        {"model": name, **nothing, "weights": point.value}
        for name, point in registered_models().items()
    ]
    show_rows("models", rows, as_json=as_json)
    if not as_json:
        show(ELSEWHERE)
