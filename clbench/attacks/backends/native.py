"""clbench's own attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.fast_and_best import OURS
from clbench.attacks.interface import Attack, Granularity
from clbench.attacks.native.apgd import APGD
from clbench.attacks.native.apgd_l1 import APGDL1
from clbench.attacks.native.fab import FAB
from clbench.attacks.native.losses import LossName
from clbench.attacks.native.pgd import PGD
from clbench.attacks.native.pgd_targets import PGDTargets
from clbench.attacks.native.pool_attack import PoolAttack
from clbench.attacks.native.pooled import Pooled
from clbench.attacks.native.square import Square
from clbench.attacks.pgd_row import ROW as PGD_ROW
from clbench.schema.attack_spec import Component
from clbench.schema.names import NormName


def _apgd(parameters: Mapping[str, Any]) -> PoolAttack:
    targets = parameters.get("n_target_classes", 0)
    loss: LossName = parameters.get("loss", "dlr-targeted")
    settings = {key: parameters[key] for key in ("n_iter", "n_restarts", "eot_iter")}
    if "use_largereps" in parameters:  # which there is in L1 alone
        larger = parameters["use_largereps"]
        return APGDL1(loss, n_target_classes=targets, use_largereps=larger, **settings)
    return APGD(loss, n_target_classes=targets, rho=float(parameters["rho"]), **settings)


def _fab(parameters: Mapping[str, Any]) -> PoolAttack:
    return FAB(
        n_target_classes=parameters["n_target_classes"] if parameters["targeted"] else 0,
        n_iter=parameters["n_iter"],
        n_restarts=parameters["n_restarts"],
        alpha_max=float(parameters["alpha_max"]),
        eta=float(parameters["eta"]),
        beta=float(parameters["beta"]),
    )


def _square(parameters: Mapping[str, Any]) -> PoolAttack:
    return Square(
        n_queries=parameters["n_queries"],
        n_restarts=parameters["n_restarts"],
        p_init=float(parameters["p_init"]),
        resc_schedule=parameters["resc_schedule"],
    )


def _pgd(parameters: Mapping[str, Any]) -> PoolAttack:
    step_size = parameters.get("step_size")
    return PGD(
        steps=parameters["steps"],
        step_size=None if step_size is None else float(step_size),
        restarts=parameters["restarts"],
        start=parameters["start"],
    )


def _pgd_targets(parameters: Mapping[str, Any]) -> PoolAttack:
    return PGDTargets(
        n_targets=parameters["n_target_classes"],
        n_iter=parameters["n_iter"],
        n_nearest=parameters["n_nearest"],
        n_iter_nearest=parameters["n_iter_nearest"],
        n_restarts=parameters["n_restarts"],
    )


NATIVE: dict[str, Callable[[Mapping[str, Any]], PoolAttack]] = {
    "apgd-ce": _apgd,
    "apgd-dlr": _apgd,
    "apgd-t": _apgd,
    "apgd-margin": _apgd,
    "fab": _fab,
    "fab-t": _fab,
    "square": _square,
    "pgd": _pgd,
    "pgd-targets": _pgd_targets,
}
"""What makes an attack of its effective parameters. A new one is one file in ``native/``, a row
that says what it covers, and its line here."""

_NORMS = {row.name: row.norms for row in (*AUTOATTACK, *OURS, PGD_ROW)}


@dataclass(frozen=True)
class Native:
    """clbench itself; results belong to examples, whatever batch they are in."""

    name: str = "native"
    granularity: Granularity = "example"
    distribution: str = "clbench"

    def is_installed(self) -> bool:
        """Say that it always is."""
        return True

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether clbench has this component in this norm."""
        return component in NATIVE and norm in _NORMS[component]

    def bind(self, component: Component) -> Attack:
        """Return the attack with these parameters."""
        return Pooled(component.name, NATIVE[component.code](component.parameters))
