"""AutoAttack's attacks and its three cascades, run by AutoAttack's own package."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import AttackPlan, AttackRow, AttackStep
from clbench.interop.autoattack import attack_package
from clbench.runtime.seeding import step_seed
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

BACKENDS = ("pyautoattack", "autoattack")
MAX_TARGETS = 9

_NORMS: tuple[NormName, ...] = ("Linf", "L2")

_BACKWARD = 2  # a backward pass costs about two forward passes


@dataclass(frozen=True)
class _Kind:
    """A class of the attack package, and its constructor's arguments as AutoAttack sets them."""

    about: str
    module: str
    factory: str
    parameters: Mapping[str, Parameter]
    cost: Callable[[Mapping[str, Any], int], float]
    fixed: tuple[str, ...] = ()
    least_classes: int = 2
    black_box: bool = False


def _apgd_cost(given: Mapping[str, Any], _n_classes: int) -> float:
    runs = given["n_restarts"] * given.get("n_target_classes", 1)
    return float(runs * given["eot_iter"] * (given["n_iter"] + 1) * (1 + _BACKWARD))


def _fab_cost(given: Mapping[str, Any], n_classes: int) -> float:
    backward = _BACKWARD * (1 if given["targeted"] else n_classes)
    runs = given["n_restarts"] * (given["n_target_classes"] if given["targeted"] else 1)
    return float(runs * given["n_iter"] * (2 + backward))


def _square_cost(given: Mapping[str, Any], _n_classes: int) -> float:
    return float(given["n_restarts"] * given["n_queries"])


_APGD: dict[str, Parameter] = {"n_iter": 100, "n_restarts": 1, "eot_iter": 1, "rho": 0.75}
_FAB: dict[str, Parameter] = {
    "n_iter": 100, "n_restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9,
}  # fmt: skip
_SQUARE: dict[str, Parameter] = {
    "n_queries": 5000, "n_restarts": 1, "p_init": 0.8, "loss": "margin", "resc_schedule": False,
}  # fmt: skip
_TARGETS: dict[str, Parameter] = {"n_target_classes": MAX_TARGETS}

_KINDS: dict[str, _Kind] = {
    "apgd-ce": _Kind(
        "AutoAttack's APGD on the cross-entropy",
        *("autopgd_base", "APGDAttack", _APGD | {"loss": "ce"}, _apgd_cost, ("loss",)),
    ),
    "apgd-dlr": _Kind(
        "AutoAttack's APGD on the DLR loss",
        *("autopgd_base", "APGDAttack", _APGD | {"loss": "dlr"}, _apgd_cost, ("loss",)),
        least_classes=3,
    ),
    "apgd-t": _Kind(
        "AutoAttack's APGD on the targeted DLR loss",
        *("autopgd_base", "APGDAttack_targeted", _APGD | _TARGETS, _apgd_cost),
        least_classes=4,
    ),
    "fab": _Kind(
        "AutoAttack's FAB, untargeted",
        *("fab_pt", "FABAttack_PT", _FAB | {"targeted": False}, _fab_cost, ("targeted",)),
    ),
    "fab-t": _Kind(
        "AutoAttack's FAB, targeted",
        *("fab_pt", "FABAttack_PT", _FAB | {"targeted": True} | _TARGETS),
        *(_fab_cost, ("targeted",)),
    ),
    "square": _Kind(
        "AutoAttack's Square attack, without gradients",
        *("square", "SquareAttack", _SQUARE, _square_cost, ("loss", "resc_schedule")),
        black_box=True,
    ),
}

_FIVE: dict[str, Parameter] = {"n_restarts": 5}
_EOT: dict[str, Parameter] = {"eot_iter": 20}
_CASCADES: dict[str, tuple[str, tuple[tuple[str, Mapping[str, Parameter]], ...]]] = {
    "autoattack": (
        "AutoAttack standard: the robustness number that the field compares",
        (("apgd-ce", {}), ("apgd-t", {}), ("fab-t", {}), ("square", {})),
    ),
    "autoattack-plus": (
        "AutoAttack plus: six attacks, five restarts of the untargeted ones",
        (
            *(("apgd-ce", _FIVE), ("apgd-dlr", _FIVE), ("fab", _FIVE)),
            *(("square", {}), ("apgd-t", {}), ("fab-t", {})),
        ),
    ),
    "autoattack-rand": (
        "AutoAttack rand, for randomised networks: gradients averaged over 20 passes",
        (("apgd-ce", _EOT), ("apgd-dlr", _EOT)),
    ),
}


class _Silent:
    """Takes the warnings about zero gradients: these are a flag here, found before any attack."""

    def log(self, *_message: object) -> None:
        """Say nothing; the classic package calls this."""

    def warning(self, *_message: object) -> None:
        """Say nothing; pyautoattack calls this."""


@dataclass(frozen=True)
class PackageAttack:
    """One attack of the package; every call builds it anew, as its objects keep state."""

    name: str
    parameters: Mapping[str, Parameter]

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return adversarial images, and the clean ones where the attack failed."""
        attack = self.build(
            model, threat_model, seed=step_seed(seed, self.name, index), device=images.device
        )
        adversarial: Tensor = attack.perturb(images, labels)
        return adversarial

    def build(
        self, model: nn.Module, threat_model: ThreatModel, *, seed: int, device: torch.device
    ) -> Any:  # noqa: ANN401 - the package has no types
        """Return the package's own attack object, set up completely."""
        kind = _KINDS[self.name]
        module = importlib.import_module(f"{attack_package().__name__}.{kind.module}")
        extra = {"logger": _Silent()} if kind.module == "autopgd_base" else {}
        return getattr(module, kind.factory)(
            model,
            norm=threat_model.norm,
            eps=float(threat_model.eps),
            seed=seed,
            device=device,
            verbose=False,
            **self.parameters,
            **extra,
        )


def _step(name: str, n_classes: int, changes: Mapping[str, Parameter]) -> AttackStep:
    kind = _KINDS[name]
    if n_classes < kind.least_classes:
        raise BadValueError(
            f"attack {name!r} needs at least {kind.least_classes} classes, got {n_classes}"
        )
    parameters = {**kind.parameters, **changes}
    if "n_target_classes" in parameters:
        parameters["n_target_classes"] = min(int(parameters["n_target_classes"]), n_classes - 1)
    cost = kind.cost(parameters, n_classes)
    attack = PackageAttack(name, parameters)
    return AttackStep(name, attack, parameters, black_box=kind.black_box, cost=cost)


def _single(
    name: str, _norm: NormName, n_classes: int, values: Mapping[str, Parameter]
) -> AttackPlan:
    step = _step(name, n_classes, values)
    return AttackPlan(name, attack_package().__name__, (step,))


def _cascade(
    name: str, _norm: NormName, n_classes: int, _values: Mapping[str, Parameter]
) -> AttackPlan:
    wanted = _CASCADES[name][1]
    possible = [one for one in wanted if n_classes >= _KINDS[one[0]].least_classes]
    steps = tuple(_step(step, n_classes, changes) for step, changes in possible)
    flags = ("few_classes",) if len(possible) < len(wanted) else ()
    return AttackPlan(name, attack_package().__name__, steps, flags)


def _options(name: str) -> dict[str, Option]:
    kind = _KINDS[name]
    return {key: Option(value) for key, value in kind.parameters.items() if key not in kind.fixed}


ROWS = (
    *(
        AttackRow(name, about, _NORMS, BACKENDS, dict, partial(_cascade, name))
        for name, (about, _) in _CASCADES.items()
    ),
    *(
        AttackRow(
            name, kind.about, _NORMS, BACKENDS, partial(_options, name), partial(_single, name)
        )
        for name, kind in _KINDS.items()
    ),
)
