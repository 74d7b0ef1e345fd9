"""What an attack is, who runs it, and what a plan of attacks holds."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.rows import UNKNOWN, Passes
from clbench.schema.attack_spec import AttackSpec, Component
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

Granularity = Literal["example", "batch"]
"""Whose result it is: an example's, the same in any batch and order; or that of a whole batch."""


@runtime_checkable
class Attack(Protocol):
    """A function from images to adversarial images, the same for equal arguments.

    ``index`` says which examples of the data set these are; with ``seed``, the seed of the whole
    run, it decides every random number, so that a result does not depend on what ran before.
    An attack may return the clean image, or one outside of the ball, where it found nothing:
    the caller checks.
    """

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
        """Return images that ``model`` should no longer classify as ``labels``."""
        ...


@runtime_checkable
class Backend(Protocol):
    """Who runs components: clbench itself, or a package."""

    @property
    def name(self) -> str:
        """The name in records and in ``--backend``."""
        ...

    @property
    def granularity(self) -> Granularity:
        """Whose results it gives."""
        ...

    @property
    def distribution(self) -> str:
        """The distribution whose version a record names; "" where its hash is in the parameters."""
        ...

    def is_installed(self) -> bool:
        """Say whether it can be used here."""
        ...

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether it has this component in this norm."""
        ...

    def bind(self, component: Component) -> Attack:
        """Return the attack that a component stands for."""
        ...


@dataclass(frozen=True)
class AttackStep:
    """A component that is ready to run; ``passes`` are its row's ``cost``, the rest as there."""

    name: str
    attack: Attack
    bounded: bool = True
    black_box: bool = False
    passes: Passes = UNKNOWN
    is_guessed: bool = False

    @property
    def cost(self) -> float:
        """What a surviving image costs, in forward passes."""
        return self.passes.cost


@dataclass(frozen=True)
class AttackPlan:
    """An attack, and which backend runs each of its components.

    ``given`` are the last components, where these are no rows of a table but made for the run.
    """

    spec: AttackSpec
    backends: tuple[str, ...]
    given: tuple[AttackStep, ...] = ()

    @property
    def rows(self) -> tuple[tuple[Component, str], ...]:
        """The components that are rows of a table, each with its backend."""
        pairs = tuple(zip(self.spec.components, self.backends, strict=True))
        return pairs[: len(pairs) - len(self.given)]

    @property
    def backend(self) -> str:
        """The backends in one word, as records have it: each once, joined by a plus sign."""
        return "+".join(dict.fromkeys(self.backends))
