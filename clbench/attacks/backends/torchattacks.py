"""The attacks of torchattacks, run by the library."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack, Granularity
from clbench.attacks.torchattacks_rows import KINDS, PREFIX, signature
from clbench.interop.installed import find_installed
from clbench.interop.torchattacks import torchattacks_package
from clbench.runtime.seeding import step_seed
from clbench.schema.attack_spec import Component, Parameter
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class Torchattacks:
    """The library."""

    name: str = "torchattacks"
    granularity: Granularity = "batch"
    distribution: str = "torchattacks"

    def is_installed(self) -> bool:
        """Say whether the library is there."""
        return find_installed(self.name) is not None

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether the library has this attack in this norm."""
        bare = component.removeprefix(PREFIX)
        return bare != component and bare in KINDS and norm in KINDS[bare].norms

    def bind(self, component: Component) -> Attack:
        """Return the library's attack with these parameters.

        Raises:
            InstallationError: The library cannot be imported.
        """
        torchattacks_package()
        return LibraryAttack(component.name.removeprefix(PREFIX), component.parameters)


@dataclass(frozen=True)
class LibraryAttack:
    """One class of torchattacks; every call builds it anew, as its objects keep state."""

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
        """Return what the library's attack returns."""
        arguments = self._arguments(threat_model, step_seed(seed, PREFIX + self.name, index))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where a model has no weights
            attack: Any = getattr(torchattacks_package(), self.name)(model, **arguments)
        attack.set_device(images.device)
        adversarial: Tensor = attack(images, labels)
        return adversarial

    def _arguments(self, threat_model: ThreatModel, seed: int) -> dict[str, Any]:
        eps, eps_name = float(threat_model.eps), KINDS[self.name].eps
        arguments: dict[str, Any] = dict(self.parameters)
        if "alpha_per_eps" in arguments:
            arguments["alpha"] = arguments.pop("alpha_per_eps") * eps
        if eps_name is not None:
            arguments[eps_name] = eps
        takes = signature(self.name)
        offered = {"norm": threat_model.norm, "seed": seed}
        return arguments | {key: value for key, value in offered.items() if key in takes}
