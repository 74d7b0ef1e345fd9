"""FAB: steps between the decision boundary and the clean image, towards the nearest point."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.native.hyperplane import step_to_hyperplane
from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import of_class
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import gaussian, repeated

_LEAST = 1e-8
"""Steps count as at least so long when they are compared."""


@dataclass(kw_only=True)
class FABItems(Items):
    """Items of FAB: the point ``x``, and the nearest misclassified one met, at ``distance``."""

    x: Float[Tensor, "n c h w"]
    nearest: Float[Tensor, "n c h w"]
    distance: Float[Tensor, " n"]


@dataclass(frozen=True)
class FAB:
    """Each step goes towards the linearised boundary, from here and from the clean image.

    There is an attempt for each of the ``n_target_classes`` most likely wrong classes, which
    follows the boundary to that class; where they are 0, every step takes the nearest boundary.
    An attempt ends at the first misclassified image in the ball unless ``to_the_end``, where what
    it finds is the nearest image, at any distance.

    Source:
        Croce and Hein, 2020, arXiv:1907.02044.
    """

    n_target_classes: int = 9
    n_iter: int = 100
    n_restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    to_the_end: bool = False

    item_type = FABItems

    @property
    def n_steps(self) -> int:
        """Steps of an attempt that finds nothing."""
        return self.n_iter

    @property
    def attempts(self) -> int:
        """Restarts, for each target."""
        return self.n_restarts * max(1, self.n_target_classes)

    def begin(self, example: Example, ball: Ball) -> FABItems:
        """Return the items: the first attempt at a class starts at the image, others beside it."""
        common = repeated(example, self.attempts)
        x = example.clean + ball.eps / 2 * ball.norm.far(gaussian(example, ball, self.attempts))
        is_first = torch.arange(self.attempts) < self.attempts // self.n_restarts
        x = x.clamp(0, 1).where(~is_first[:, None, None, None].to(x.device), example.clean)
        distance = torch.full((self.attempts,), math.inf, dtype=x.dtype, device=x.device)
        return FABItems(**common, x=x, nearest=x, distance=distance)

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Move every item towards the boundary, and back where it is beyond."""
        assert isinstance(items, FABItems), "the items are those that it began"
        x = self._towards_boundary(network, items, ball)
        beyond = network.logits(x).argmax(dim=1) != items.labels
        distance = ball.norm.length(x - items.clean)
        nearer = beyond & (distance < items.distance)
        nearest = x.where(wide(nearer), items.nearest)
        done = items.step + 1 >= self.n_iter
        found = (
            done & items.distance.isfinite() if self.to_the_end else nearer & (distance <= ball.eps)
        )
        moved = replace(
            items,
            step=items.step + 1,
            x=torch.where(wide(beyond), items.clean + self.beta * (x - items.clean), x),
            nearest=nearest,
            distance=distance.where(nearer, items.distance),
        )
        return Step(moved, found, nearest, done)

    def _towards_boundary(
        self, network: Network, items: FABItems, ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        lead, slope = self._boundary(network, items, ball)
        name, n = ball.norm.name, len(items)
        ahead = lead - (slope * (items.x - items.clean)).sum(dim=(1, 2, 3))
        steps = step_to_hyperplane(
            torch.cat([items.x, items.clean]),
            torch.cat([slope, slope]),
            torch.cat([-lead, -ahead]),
            name,
        )
        here, there = torch.split(steps, n)
        length, other = (ball.norm.length(one).clamp_min(_LEAST) for one in (here, there))
        share = wide((length / (length + other)).clamp(0, self.alpha_max))
        moved = (1 - share) * (items.x + self.eta * here)
        nearer: Tensor = moved + share * (items.clean + self.eta * there)
        return nearer.clamp(0, 1)

    def _boundary(
        self, network: Network, items: FABItems, ball: Ball
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """Return by how much the aimed class leads at each point, and how that grows."""

        def lead_of(classes: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
            answer = network.gradient(
                items.x,
                lambda logits: of_class(logits, classes) - of_class(logits, items.labels),
            )
            return answer.losses.to(items.distance), answer.gradient

        if self.n_target_classes:
            return lead_of(items.target)
        n_classes = network.logits(items.x).shape[1]
        lead, slope = lead_of((items.labels + 1) % n_classes)
        far = lead.abs() / ball.norm.dual(slope).clamp_min(1e-12)
        for offset in range(2, n_classes):
            other, its_slope = lead_of((items.labels + offset) % n_classes)
            its_far = other.abs() / ball.norm.dual(its_slope).clamp_min(1e-12)
            nearer = its_far < far
            lead, far = other.where(nearer, lead), its_far.where(nearer, far)
            slope = its_slope.where(wide(nearer), slope)
        return lead, slope
