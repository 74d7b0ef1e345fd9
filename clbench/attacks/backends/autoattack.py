"""AutoAttack's components, run by AutoAttack's own package."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.interface import Attack, Granularity
from clbench.interop.autoattack import attack_package, attack_package_name
from clbench.runtime.seeding import step_seed
from clbench.schema.attack_spec import Component, Parameter
from clbench.schema.errors import InstallationError
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

_NORMS = {row.name: row.norms for row in AUTOATTACK}


class _Class(NamedTuple):
    """Where the package has an attack."""

    module: str
    name: str


_APGD = _Class("autopgd_base", "APGDAttack")
_FAB = _Class("fab_pt", "FABAttack_PT")
_CLASSES: dict[str, _Class] = {
    "apgd-ce": _APGD,
    "apgd-dlr": _APGD,
    "apgd-t": _Class("autopgd_base", "APGDAttack_targeted"),
    "fab": _FAB,
    "fab-t": _FAB,
    "square": _Class("square", "SquareAttack"),
}


@dataclass(frozen=True)
class AutoAttackPackage:
    """``autoattack`` or ``pyautoattack``, which hold the same attacks; one of them is used."""

    name: str
    granularity: Granularity = "batch"

    @property
    def distribution(self) -> str:
        """The distribution, which is called as the package is."""
        return self.name

    def is_installed(self) -> bool:
        """Say whether this is the one that is used here."""
        try:
            return attack_package_name() == self.name
        except InstallationError:
            return False

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether AutoAttack has this component in this norm."""
        return norm in _NORMS.get(component, ())

    def bind(self, component: Component) -> Attack:
        """Return the package's attack with these parameters.

        Raises:
            InstallationError: No package with AutoAttack's attacks is installed.
        """
        attack_package()
        return PackageAttack(component.name, component.parameters)


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
        module_name, class_name = _CLASSES[self.name]
        module = importlib.import_module(f"{attack_package().__name__}.{module_name}")
        extra = {"logger": _Silent()} if module_name == "autopgd_base" else {}
        return getattr(module, class_name)(
            model,
            norm=threat_model.norm,
            eps=float(threat_model.eps),
            seed=seed,
            device=device,
            verbose=False,
            **self.parameters,
            **extra,
        )
