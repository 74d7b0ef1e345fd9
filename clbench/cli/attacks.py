"""``clbench attacks``: the attacks there are, and the steps and parameters each one stands for."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clbench.attacks import AttackRow

_EXAMPLE_CLASSES = 10


def attacks(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the attacks: norms, backend, and every step with its parameters.

    Options follow the name: [bold]--attack pgd,steps=40,step_size=1/100,start=zero[/bold]

    What ends in _per_eps is in proportion to eps; step_size=1/100 or alpha=1/100 fixes it.
    """
    from clbench.attacks import ATTACKS
    from clbench.cli.show import show_rows

    rows = [_describe(row) for row in ATTACKS.values()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    show_rows("attacks", [_in_words(row) for row in rows], as_json=False)


def _describe(row: "AttackRow") -> dict[str, Any]:
    plan = row.plan(row.norms[0], _EXAMPLE_CLASSES, {})
    return {
        "name": row.name,
        "about": row.about,
        "norms": list(row.norms),
        "backend": plan.backend,
        "options": sorted(row.options()),
        "steps": plan.parameters,
        "hash": plan.hash,
    }


def _in_words(row: "Mapping[str, Any]") -> dict[str, str]:
    steps = row["steps"]
    named = [f"{name}: {_listed(parameters)}" for name, parameters in steps.items()]
    return {
        "name": row["name"],
        "norms": " ".join(row["norms"]),
        "backend": row["backend"],
        "about": row["about"],
        "steps and parameters": "\n".join(named) if len(steps) > 1 else _listed(steps[row["name"]]),
    }


def _listed(parameters: "Mapping[str, object]") -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
