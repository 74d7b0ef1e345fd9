"""An attack on trial: what it declares of itself, and what it does to two problems."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack, Granularity
from clbench.runtime.seeding import randomness
from clbench.schema.errors import BadValueError
from clbench.testing.problems import LinearProblem, Problem

SEED = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackCase:
    """An attack and what it declares of itself.

    Attributes:
        name: What messages call it.
        attack: The attack itself, as in ``clbench.attacks.interface``.
        linear: The problem whose exact answer is known.
        curved: The problem on which options, labels and seeds have something to change.
        least_share: Which share of the images that can be broken it breaks, at least.
        bounded: It stays in the ball. Where it does not, what it returns outside is no success.
        black_box: It uses no gradients.
        granularity: An example's result is its own, or that of the batch it came in.
        changed: By option, the same attack with this option changed.
        idle: Options that change nothing here, each with the reason.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    attack: Attack
    linear: LinearProblem
    curved: Problem
    least_share: float
    bounded: bool = True
    black_box: bool = False
    granularity: Granularity = "example"
    changed: Mapping[str, Attack] = field(default_factory=dict)
    idle: Mapping[str, str] = field(default_factory=dict)
    excused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.least_share <= 1:
            raise BadValueError(
                f"least_share of {self.name} must be above 0 and at most 1, "
                f"got {self.least_share!r}: an attack breaks something"
            )

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared = {}
        if not self.bounded:
            declared["uses_the_whole_ball"] = "it looks for the smallest perturbation"
        if self.granularity == "batch":
            declared["belongs_to_examples"] = "its results are those of a batch"
        if not self.changed:
            declared["every_option_acts"] = "it has no options"
        return declared | dict(self.excused)

    @cached_property
    def on_linear(self) -> "Seen":
        """What it does to the linear problem."""
        return run(self.attack, self.linear)

    @cached_property
    def on_curved(self) -> "Seen":
        """What it does to the curved problem."""
        return run(self.attack, self.curved)

    @property
    def runs(self) -> tuple[tuple[Problem, "Seen"], tuple[Problem, "Seen"]]:
        """Both problems, each with what it does there."""
        return (self.linear, self.on_linear), (self.curved, self.on_curved)


@dataclass(frozen=True, eq=False)
class Seen:
    """What an attack returned, and how many images it passed forward and backward."""

    images: Float[Tensor, "n c h w"]
    forward: int
    backward: int


class Counted(nn.Module):
    """A network whose passes are counted by images, as an attack sees it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forward_passes = 0
        self.backward_passes = 0
        self.training = False

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        self.forward_passes += len(images)
        logits: Tensor = self.network(images)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backward_passes += len(gradient)


def run(
    attack: Attack,
    problem: Problem,
    *,
    labels: Int[Tensor, " n"] | None = None,
    where: Int[Tensor, " m"] | None = None,
    seed: int = SEED,
    ambient: int = 0,
) -> Seen:
    """Return what ``attack`` itself does to some images of a problem.

    Args:
        attack: The attack.
        problem: What it is shown.
        labels: Instead of the problem's.
        where: Which images, in which order; all by default.
        seed: Of the run.
        ambient: The seed of the global random numbers, from which no attack may draw.
    """
    chosen = torch.arange(len(problem.labels)) if where is None else where
    wanted = problem.labels if labels is None else labels
    network = Counted(deepcopy(problem.network))
    with randomness(ambient):
        found = attack(
            network,
            problem.images[chosen],
            wanted[chosen],
            problem.threat_model,
            seed=seed,
            index=problem.index[chosen],
        )
    return Seen(found.detach(), network.forward_passes, network.backward_passes)
