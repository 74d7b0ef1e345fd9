"""Projected gradient descent as data: its options, and the parameters that they stand for."""

from collections.abc import Mapping

from clbench.attacks.rows import ComponentRow, Passes
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.names import NORM_NAMES, NormName

NAME = "pgd"
REACH = 2.5
"""The default step size lets all steps together go this many times eps far."""

OPTIONS: dict[str, Option] = {
    "steps": Option(40),
    "step_size": Option(REACH / 40, above_zero=True),
    "restarts": Option(1),
    "start": Option("random", choices=("random", "zero")),
}
"""The default of ``step_size`` only says that it is a number; without it, see ``PGD``."""


def _effective(
    _norm: NormName, _n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    """Return every parameter; ``step_size_per_eps`` stands for a step size in proportion to eps."""
    chosen = {name: given.get(name, option.default) for name, option in OPTIONS.items()}
    if "step_size" not in given:
        del chosen["step_size"]
        chosen["step_size_per_eps"] = REACH / int(chosen["steps"])
    return chosen


def _cost(given: Mapping[str, Parameter], _n_classes: int) -> Passes:
    passes = float(int(given["restarts"]) * (int(given["steps"]) + 1))
    return Passes(passes, passes)


ROW = ComponentRow(
    name=NAME,
    about="projected gradient descent: restarts, steps and step size explicit",
    norms=NORM_NAMES,
    options=lambda: OPTIONS,
    parameters=_effective,
    cost=_cost,
)
