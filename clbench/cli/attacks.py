"""``clbench attacks``: the attacks there are, and the steps and parameters each one stands for."""

from typing import TYPE_CHECKING, Any

from clbench.cli import options as opt
from clbench.cli.streams import code_of_others

if TYPE_CHECKING:
    from collections.abc import Mapping


_EXAMPLE_CLASSES = 10


def attacks(as_json: opt.Json = False) -> None:
    """List the attacks: norms, backend, and every step with its parameters.

    Options follow the name: --attack pgd,steps=40,step_size=1/100,start=zero

    Several are a cascade: --attack "apgd-ce,n_iter=50 + square"

    What ends in _per_eps is in proportion to eps; step_size=1/100 or alpha=1/100 fixes it.
    """
    from clbench.attacks.grammar import ATTACKS
    from clbench.cli.render.tables import show_entries, show_json

    with code_of_others():
        rows = [_describe(name) for name in ATTACKS]
    if as_json:
        show_json(rows)
        return
    show_entries([_in_words(row) for row in rows])


def _describe(name: str) -> dict[str, Any]:
    from clbench.attacks.grammar import ATTACKS, norms_of, options_of
    from clbench.attacks.registry import plan_attack

    norms = norms_of(name)
    plan = plan_attack(name, norms[0], _EXAMPLE_CLASSES)
    return {
        "name": name,
        "about": ATTACKS[name],
        "norms": list(norms),
        "backend": plan.backend,
        "options": sorted(options_of(name)),
        "steps": plan.spec.parameters,
        "hash": plan.spec.hash,
    }


def _in_words(row: "Mapping[str, Any]") -> tuple[str, list[str]]:
    heading = f"{row['name']} ({', '.join(row['norms'])}; {row['backend']})"
    steps = [f"{name}: {_listed(parameters)}" for name, parameters in row["steps"].items()]
    return heading, [row["about"], *steps]


def _listed(parameters: "Mapping[str, object]") -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
