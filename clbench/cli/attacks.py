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

    What ends in _per_eps is in proportion to eps; step_size=1/100 or alpha=1/100 fixes it. A norm
    in which an attack has other parameters has lines of its own.
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
    plan, *others = (plan_attack(name, norm, _EXAMPLE_CLASSES) for norm in norms)
    return {
        "name": name,
        "about": ATTACKS[name],
        "norms": list(norms),
        "backend": plan.backend,
        "options": sorted(options_of(name)),
        "steps": plan.spec.parameters,
        "hash": plan.spec.hash,
        "in_other_norms": {
            norm: {"steps": other.spec.parameters, "hash": other.spec.hash}
            for norm, other in zip(norms[1:], others, strict=True)
            if other.spec.hash != plan.spec.hash
        },
    }


def _in_words(row: "Mapping[str, Any]") -> tuple[str, list[str]]:
    heading = f"{row['name']} ({', '.join(row['norms'])}; {row['backend']})"
    lines = _lines("", row["steps"])
    for norm, other in row["in_other_norms"].items():
        steps = other["steps"].items()
        changed = {name: found for name, found in steps if found != row["steps"][name]}
        lines += _lines(f" in {norm}", changed)
    return heading, [row["about"], *lines]


def _lines(where: str, steps: "Mapping[str, Mapping[str, object]]") -> list[str]:
    return [f"{name}{where}: {_listed(parameters)}" for name, parameters in steps.items()]


def _listed(parameters: "Mapping[str, object]") -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
