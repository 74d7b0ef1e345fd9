"""AutoAttack's components and cascades as data, with the parameters that AutoAttack sets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from clbench.attacks.rows import CascadeRow, ComponentRow, Fit, Passes, Shape, fits_all
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName

MAX_TARGETS = 9

_CHECKS = 3
"""Passes in which the package, and the check of what it returns, see where an image stands."""

SQUARE_REMEMBERS = 1024
"""Numbers in an image up to which clbench's Square, in Linf, may remember which moves it tried; in
larger images hardly one comes twice."""

_WINDOWS = 5
"""Windows of Square in L2 and L1, one above the other in an image."""

_LONG = 5
"""Images so many times longer than wide have no room for such a window."""

_Values = Mapping[str, Parameter]
_Components = tuple[tuple[str, _Values], ...]
_Row = TypeVar("_Row")

_LEAST_LARGER = 2
"""Steps of APGD in L1, so that both larger balls have one; AutoAttack's package fails at fewer."""

_APGD: dict[str, Parameter] = {"n_iter": 100, "n_restarts": 1, "eot_iter": 1, "rho": 0.75}
_APGD_L1: dict[str, Parameter] = {
    "n_iter": 100, "n_restarts": 5, "eot_iter": 1, "use_largereps": True,
}  # fmt: skip
_FAB: dict[str, Parameter] = {
    "n_iter": 100, "n_restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9,
}  # fmt: skip
_SQUARE: dict[str, Parameter] = {
    "n_queries": 5000, "n_restarts": 1, "p_init": 0.8, "loss": "margin", "resc_schedule": False,
}  # fmt: skip
_MOVES = {"eta"}
"""With an ``eta`` of 0, FAB stays where it is."""
_TARGETS: dict[str, Parameter] = {"n_target_classes": MAX_TARGETS}
_FEWER_TARGETS: dict[str, Parameter] = {"n_restarts": 1, "n_target_classes": 5}


def _by_norm(one: _Row, in_l1: _Row | None = None) -> Mapping[NormName, _Row]:
    """Return what there is in each norm."""
    return {"Linf": one, "L2": one, "L1": one if in_l1 is None else in_l1}


def _apgd_cost(given: Mapping[str, Any], _n_classes: int) -> Passes:
    targets = given.get("n_target_classes", 0)
    balls = 3 if given.get("use_largereps") else 1
    steps = given["n_iter"] + balls
    passes = given["n_restarts"] * max(1, targets) * given["eot_iter"] * steps
    return Passes(passes + targets + _CHECKS, passes)


def _fab_cost(given: Mapping[str, Any], n_classes: int) -> Passes:
    runs = given["n_restarts"] * (given["n_target_classes"] if given["targeted"] else 1)
    steps = runs * given["n_iter"]
    if given["targeted"]:
        return Passes(2 * steps + _CHECKS * (runs + 1), steps)
    return Passes(steps * (n_classes + 1) + _CHECKS * (runs + 1), steps * n_classes)


def _square_cost(given: Mapping[str, Any], _n_classes: int) -> Passes:
    return Passes(given["n_restarts"] * (given["n_queries"] + 2) + _CHECKS)


def square_fit(norm: NormName, shape: Shape) -> Fit:
    """Say whether Square of AutoAttack, and of torchattacks, runs on images of a shape.

    But in Linf it begins with windows as high as a fifth of the image, one beside the other from an
    offset on. It fails where one of them is cut off; where they are wider than the image there are
    none, and it is much weaker.
    """
    _, height, width = shape
    side = height // _WINDOWS
    if norm == "Linf":
        return Fit()
    offset = (height - side * _WINDOWS) // 2
    ends = [offset + length // side * side - length for length in shape[1:]] if side else [1]
    if side == 0 or (side > 1 and width >= side and max(ends) > 0):
        return Fit(
            f"cannot place its windows in {norm} on images of {height}x{width}; leave it out"
        )
    return Fit(flags=("long_images",) if max(shape[1:]) >= _LONG * min(shape[1:]) else ())


@dataclass(frozen=True)
class _Defaults:
    """The parameters of a component, by norm; those in ``fixed`` are no options."""

    name: str
    values: Mapping[NormName, _Values]
    fixed: tuple[str, ...]

    def options(self) -> dict[str, Option]:
        everywhere = {key: value for one in self.values.values() for key, value in one.items()}
        return {
            key: Option(value, above_zero=key in _MOVES, norms=self._norms_of(key))
            for key, value in everywhere.items()
            if key not in self.fixed
        }

    def _norms_of(self, key: str) -> tuple[NormName, ...]:
        having = tuple(norm for norm, values in self.values.items() if key in values)
        return () if len(having) == len(self.values) else having

    def effective(
        self, norm: NormName, n_classes: int, given: Mapping[str, Parameter]
    ) -> dict[str, Parameter]:
        parameters = {**self.values[norm], **given}
        if parameters.get("use_largereps") and int(parameters["n_iter"]) < _LEAST_LARGER:
            raise BadValueError(
                f"option 'n_iter' of attack {self.name!r} must be at least {_LEAST_LARGER} in L1, "
                f"got {parameters['n_iter']}; or give use_largereps=false"
            )
        if "n_target_classes" in parameters:
            parameters["n_target_classes"] = min(int(parameters["n_target_classes"]), n_classes - 1)
        return parameters


def _row(
    name: str,
    about: str,
    values: Mapping[NormName, _Values],
    *,
    fixed: tuple[str, ...] = (),
    cost: Callable[[Mapping[str, Any], int], Passes],
    least_classes: int = 2,
    black_box: bool = False,
    fit: Callable[[NormName, Shape], Fit] = fits_all,
) -> ComponentRow:
    defaults = _Defaults(name, values, fixed)
    return ComponentRow(
        name=name,
        about=f"AutoAttack's {about}",
        norms=tuple(values),
        options=defaults.options,
        parameters=defaults.effective,
        cost=cost,
        least_classes=least_classes,
        black_box=black_box,
        fit=fit,
    )


_apgd = partial(_row, cost=_apgd_cost)
_fab = partial(_row, cost=_fab_cost, fixed=("targeted",))

AUTOATTACK = (
    _apgd(
        "apgd-ce",
        "APGD on the cross-entropy",
        _by_norm(_APGD | {"loss": "ce"}, _APGD_L1 | {"loss": "ce"}),
        fixed=("loss",),
    ),
    _apgd(
        "apgd-dlr",
        "APGD on the DLR loss",
        _by_norm(_APGD | {"loss": "dlr"}, _APGD_L1 | {"loss": "dlr"}),
        fixed=("loss",),
        least_classes=3,
    ),
    _apgd(
        "apgd-t",
        "APGD on the targeted DLR loss",
        _by_norm(_APGD | _TARGETS, _APGD_L1 | _FEWER_TARGETS),
        least_classes=4,
    ),
    _fab("fab", "FAB, untargeted", _by_norm(_FAB | {"targeted": False})),
    _fab("fab-t", "FAB, targeted", _by_norm(_FAB | {"targeted": True} | _TARGETS)),
    _row(
        "square",
        "Square attack, without gradients",
        _by_norm(_SQUARE),
        fixed=("loss", "resc_schedule"),
        cost=_square_cost,
        black_box=True,
        fit=square_fit,
    ),
)
"""The components, in the order in which they are listed."""

_FIVE: dict[str, Parameter] = {"n_restarts": 5}
_EOT: dict[str, Parameter] = {"eot_iter": 20}
_ONE_BALL: dict[str, Parameter] = {"use_largereps": False}
"""Only AutoAttack standard goes through larger balls in L1; plus and rand are as in other norms."""

_STANDARD: _Components = (("apgd-ce", {}), ("apgd-t", {}), ("fab-t", {}), ("square", {}))
_PLUS: _Components = (
    ("apgd-ce", _FIVE), ("apgd-dlr", _FIVE), ("fab", _FIVE),
    ("square", {}), ("apgd-t", {}), ("fab-t", {}),
)  # fmt: skip
_PLUS_L1: _Components = (
    ("apgd-ce", _FIVE | _ONE_BALL), ("apgd-dlr", _FIVE | _ONE_BALL), ("fab", _FIVE),
    ("square", {}), ("apgd-t", _TARGETS | _ONE_BALL), ("fab-t", {}),
)  # fmt: skip
_RAND: _Components = (("apgd-ce", _EOT), ("apgd-dlr", _EOT))
_RAND_L1: _Components = tuple((name, _EOT | _ONE_BALL | {"n_restarts": 1}) for name, _ in _RAND)

CASCADES: dict[str, CascadeRow] = {
    row.name: row
    for row in (
        CascadeRow(
            name="autoattack",
            about="AutoAttack standard: the robustness number that the field compares",
            components=_by_norm(_STANDARD),
        ),
        CascadeRow(
            name="autoattack-plus",
            about="AutoAttack plus: six attacks, five restarts of the untargeted ones",
            components=_by_norm(_PLUS, _PLUS_L1),
        ),
        CascadeRow(
            name="autoattack-rand",
            about="AutoAttack rand, for randomised networks: gradients averaged over 20 passes",
            components=_by_norm(_RAND, _RAND_L1),
        ),
    )
}
"""AutoAttack's three cascades."""
