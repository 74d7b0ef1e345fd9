"""``fast`` for first looks and ``best`` for headline numbers, as rows of tables."""

from collections.abc import Mapping
from dataclasses import replace

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.autoattack_rows import CASCADES as OF_AUTOATTACK
from clbench.attacks.rows import CascadeRow
from clbench.schema.attack_spec import Parameter
from clbench.schema.names import NormName
from clbench.schema.records import UPPER_BOUND

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

_STANDARD = OF_AUTOATTACK["autoattack"].components
_LONG: Mapping[str, Parameter] = {}
_SHORT: Mapping[str, Parameter] = {"n_target_classes": 5, "n_iter": 40}

CASCADES: dict[str, CascadeRow] = {
    row.name: row
    for row in (
        CascadeRow(
            name=FAST,
            about="for first looks: an upper bound, at a twentieth of AutoAttack's passes",
            components=dict.fromkeys(_STANDARD, ((MARGIN.name, _SHORT),)),
            flags=(UPPER_BOUND,),
        ),
        CascadeRow(
            name=FINISHED,
            about="AutoAttack standard, which goes on from fast",
            components={norm: ((MARGIN.name, _SHORT), *some) for norm, some in _STANDARD.items()},
        ),
        CascadeRow(
            name="best",
            about="AutoAttack standard and more, at no more than one and a half times its cost",
            components={norm: (*some, (MARGIN.name, _LONG)) for norm, some in _STANDARD.items()},
        ),
    )
}
"""clbench's own cascades."""
