"""What an attack is to the pool: items that start, make steps, and end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.attacks.native.items import Items
from clbench.attacks.native.losses import likeliest_wrong
from clbench.attacks.norms import NORMS, Norm
from clbench.runtime.counter import Counter
from clbench.schema.threat_model import ThreatModel


class Answer(NamedTuple):
    """Logits at some points, the loss of each, and its gradient there."""

    logits: Float[Tensor, "n k"]
    losses: Float[Tensor, " n"]
    gradient: Float[Tensor, "n c h w"]


@runtime_checkable
class Network(Protocol):
    """The network as a step sees it: always asked about one whole tile."""

    @property
    def repeats_itself(self) -> bool:
        """Whether it gives an image the same answer again, in any place beside any others."""
        ...

    def logits(self, points: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        ...

    def gradient(
        self,
        points: Float[Tensor, "n c h w"],
        loss: Callable[[Float[Tensor, "n k"]], Float[Tensor, " n"]],
        *,
        times: int = 1,
    ) -> Answer:
        """Return the logits, what ``loss`` makes of them image by image, and its gradient.

        The gradient is the mean of so many passes; logits and loss are those of the last one.
        """
        ...


def answer(
    model: nn.Module,
    points: Float[Tensor, "n c h w"],
    loss: Callable[[Float[Tensor, "n k"]], Float[Tensor, " n"]],
    *,
    times: int = 1,
) -> Answer:
    """Return logits and losses of the last of so many passes, and the mean gradient of all."""
    answers = [_once(model, points, loss) for _ in range(times)]
    if times == 1:
        return answers[0]
    return answers[-1]._replace(gradient=torch.stack([one.gradient for one in answers]).mean(0))


def _once(
    model: nn.Module,
    points: Float[Tensor, "n c h w"],
    loss: Callable[[Float[Tensor, "n k"]], Float[Tensor, " n"]],
) -> Answer:
    leaf = points.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits: Tensor = model(leaf)
        losses = loss(logits)
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return Answer(logits.detach(), losses.detach(), gradient)


@dataclass(frozen=True)
class Ball:
    """What an attack may do, and the random numbers that it does it with."""

    norm: Norm
    eps: float
    numbers: Counter

    @classmethod
    def of(cls, threat_model: ThreatModel, seed: int, name: str) -> "Ball":
        """Return the ball of a threat model; ``name`` tells the random numbers of attacks apart."""
        return cls(NORMS[threat_model.norm], float(threat_model.eps), Counter(seed, name))


@dataclass(frozen=True)
class Example:
    """One example to be attacked; each tensor has one row."""

    clean: Float[Tensor, "1 c h w"]
    labels: Int[Tensor, " 1"]
    index: Int[Tensor, " 1"]
    factor: Float[Tensor, " 1"]
    targets: Int[Tensor, " a"] | None


class Step(NamedTuple):
    """What a step leads to: the items after it, and what it found.

    ``found`` says which items met a misclassified image in the ball, and ``points`` are these;
    ``done`` which have nothing left to do. ``asked`` counts the answers that each item needed, one
    of each unless given; an answer that is known need not be asked for.
    """

    items: Items
    found: Bool[Tensor, " n"]
    points: Float[Tensor, "n c h w"]
    done: Bool[Tensor, " n"]
    asked: Int[Tensor, " n"] | None = None


@runtime_checkable
class PoolAttack(Protocol):
    """An attack that the pool runs.

    ``attempts`` of an example, its restarts or targets, run side by side, and all leave at the
    first success of one. What happens to an item is a function of its row alone.
    """

    @property
    def item_type(self) -> type[Items]:
        """What it knows of each item."""
        ...

    @property
    def attempts(self) -> int:
        """How many attempts there are for an example, as many for each target."""
        ...

    @property
    def n_steps(self) -> int:
        """How many steps an attempt takes that finds nothing."""
        ...

    @property
    def n_target_classes(self) -> int:
        """At how many of the likeliest wrong classes attempts aim; 0 where they aim at none."""
        ...

    def begin(self, example: Example, ball: Ball) -> Items:
        """Return the items of an example before their first step."""
        ...

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Return the items one step further; they fill one tile."""
        ...


@runtime_checkable
class LooksAhead(PoolAttack, Protocol):
    """An attack that can make several steps of an item at once, where a tile has room for them."""

    def may_know(self, images: Float[Tensor, "n c h w"], ball: Ball) -> bool:
        """Say whether it may know answers about such images without asking, and take fewer passes.

        It takes a network that repeats itself.
        """
        ...

    def look_ahead(
        self,
        network: Network,
        items: Items,
        ball: Ball,
        owner: Int[Tensor, " n"],
        turn: Int[Tensor, " n"],
    ) -> Step:
        """Return the items after at least one step each; those without a row stay as they are.

        Args:
            network: Is asked about one row for each step.
            items: They fill a tile, with some that are but filling.
            ball: Where they may go.
            owner: Of each row, the place of its item.
            turn: Of each row, how many steps of its item come before it in the same call.
        """
        ...


def targets_of(
    attack: PoolAttack, logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]
) -> Int[Tensor, "n a"]:
    """Return the class that each attempt of an attack that aims is at, by the clean logits."""
    likeliest = likeliest_wrong(logits, labels, attack.n_target_classes)
    return likeliest.repeat(1, attack.attempts // attack.n_target_classes)
