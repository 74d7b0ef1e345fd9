"""Attacks of a user's own, run by their own code."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack, Granularity
from clbench.attacks.own import ENTRY_POINT_GROUP, SOURCE, load, row
from clbench.runtime.user_code import describe_with_line, is_own
from clbench.schema.attack_spec import Component
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class OwnCode:
    """Code outside of clbench."""

    name: str = "own"
    granularity: Granularity = "batch"
    distribution: str = ""

    def is_installed(self) -> bool:
        """Say that it always is."""
        return True

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether the code is for this norm."""
        return is_own(component, ENTRY_POINT_GROUP) and norm in row(component).norms

    def bind(self, component: Component) -> Attack:
        """Return the attack with these parameters."""
        value: Any = load(component.code).value
        given = {key: of for key, of in component.parameters.items() if key != SOURCE}
        return _Named(component.name, value(**given) if isinstance(value, type) else value)


@dataclass(frozen=True)
class _Named:
    """An attack of a user's own, whose failure is told with its name."""

    name: str
    attack: Attack

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
        """Return what the user's attack returns.

        Raises:
            BadValueError: It raised, or returned something else than images.
        """
        try:
            found: object = self.attack(model, images, labels, threat_model, seed=seed, index=index)
        except Exception as error:
            raise BadValueError(
                f"attack '{self.name}' raised {describe_with_line(error)}"
            ) from error
        if not isinstance(found, Tensor) or found.shape != images.shape:
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise BadValueError(
                f"attack '{self.name}' must return images {list(images.shape)}, got {got}"
            )
        return found
