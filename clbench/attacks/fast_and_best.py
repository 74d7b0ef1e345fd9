"""``fast`` for first looks and ``best`` for headline numbers, as rows of tables."""

from collections.abc import Mapping
from dataclasses import replace

from clbench.attacks.autoattack_rows import AUTOATTACK, MAX_TARGETS
from clbench.attacks.autoattack_rows import CASCADES as OF_AUTOATTACK
from clbench.attacks.rows import CascadeRow, ComponentRow, Passes
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.flags import UPPER_BOUND
from clbench.schema.names import NORM_NAMES, NormName

FAST = "fast"
FINISHED = "fast+autoattack"
"""What goes on from ``fast`` to AutoAttack's verdicts."""

_APGD_T = next(row for row in AUTOATTACK if row.name == "apgd-t")


def _parameters(
    norm: NormName, n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    return {**_APGD_T.parameters(norm, n_classes, given), "loss": "margin-targeted"}


MARGIN = replace(
    _APGD_T,
    name="apgd-margin",
    about="APGD on the lead of a target over the right class",
    parameters=_parameters,
    least_classes=2,
)
"""As APGD-T, without the quotient of its loss."""

_TARGETS_OPTIONS: dict[str, Option] = {
    "n_target_classes": Option(MAX_TARGETS),
    "n_iter": Option(7),
    "n_nearest": Option(3),
    "n_iter_nearest": Option(24),
    "n_restarts": Option(2),
}


def _of_targets(
    _norm: NormName, n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    chosen = {name: given.get(name, option.default) for name, option in _TARGETS_OPTIONS.items()}
    targets = min(int(chosen["n_target_classes"]), n_classes - 1)
    nearest = min(int(chosen["n_nearest"]), targets)
    return chosen | {"n_target_classes": targets, "n_nearest": nearest}


def _targets_cost(given: Mapping[str, Parameter], _n_classes: int) -> Passes:
    targets, steps, nearest, more, restarts = (float(given[name]) for name in _TARGETS_OPTIONS)
    passes = 1 + targets * (steps + 1) + restarts * nearest * (more + 1)
    return Passes(passes, passes)


TARGETS = ComponentRow(
    name="pgd-targets",
    about="PGD at every target for a few steps, then for more at the nearest ones",
    norms=NORM_NAMES,
    options=lambda: _TARGETS_OPTIONS,
    parameters=_of_targets,
    cost=_targets_cost,
)

OURS = (MARGIN, TARGETS)
"""Components that clbench alone has, beside ``pgd``."""

_STANDARD = OF_AUTOATTACK["autoattack"].components
_SHORT, _LONG = (TARGETS.name, dict[str, Parameter]()), (MARGIN.name, dict[str, Parameter]())

CASCADES: dict[str, CascadeRow] = {
    row.name: row
    for row in (
        CascadeRow(
            name=FAST,
            about="for first looks: an upper bound, at a twentieth of AutoAttack's passes",
            components=dict.fromkeys(_STANDARD, (_SHORT,)),
            flags=(UPPER_BOUND,),
        ),
        CascadeRow(
            name=FINISHED,
            about="AutoAttack standard, which goes on from fast",
            components={norm: (_SHORT, *some) for norm, some in _STANDARD.items()},
        ),
        CascadeRow(
            name="best",
            about="AutoAttack standard and more, at no more than one and a half times its cost",
            components={norm: (*some, _LONG, _SHORT) for norm, some in _STANDARD.items()},
        ),
    )
}
"""clbench's own cascades."""
