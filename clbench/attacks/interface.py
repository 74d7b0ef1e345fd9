"""What an attack is, and what a plan of attacks holds: every effective parameter, and a hash."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

HASH_DIGITS = 12


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


@dataclass(frozen=True)
class AttackStep:
    """One attack of a plan.

    ``bounded`` is False for attacks that look for the smallest perturbation and may leave the
    ball; what they return outside of it is no success, and no defect either. ``black_box`` is
    True for attacks that use no gradients. ``cost`` is roughly how many forward passes (a
    backward pass counts as two) a surviving image takes; it serves to foretell the time to go.
    """

    name: str
    attack: Attack
    parameters: Mapping[str, Parameter]
    bounded: bool = True
    black_box: bool = False
    cost: float = 1.0


@dataclass(frozen=True)
class AttackPlan:
    """A cascade: each step attacks the images that the steps before it left standing.

    ``flags`` say what is to be known about the plan itself, such as steps that the number of
    classes forbids.
    """

    name: str
    backend: str
    steps: tuple[AttackStep, ...]
    flags: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, dict[str, Parameter]]:
        """The effective parameters of every step."""
        return {step.name: dict(step.parameters) for step in self.steps}

    @property
    def hash(self) -> str:
        """What tells this attack from every other one: 12 hexadecimal digits.

        It covers the names and the effective parameters in their order, not the backend and not
        the threat model.
        """
        steps = [[step.name, dict(step.parameters)] for step in self.steps]
        text = json.dumps([self.name, steps], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


@dataclass(frozen=True)
class AttackRow:
    """An attack that users can name: what it covers, its options, and how a plan is made of it.

    ``options`` and ``plan`` are called only when the attack is used, so that listing the names
    imports no attack package.
    """

    name: str
    about: str
    norms: tuple[NormName, ...]
    backends: tuple[str, ...]
    options: Callable[[], Mapping[str, Option]]
    plan: Callable[[NormName, int, Mapping[str, Parameter]], AttackPlan]
