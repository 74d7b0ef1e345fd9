"""Auto-PGD in Linf and L2: ascent whose step shrinks by itself."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.native.ascent import Ascent, AscentItems, with_best
from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import repeated, starting_point

_MOMENTUM = 0.75
_FIRST_INTERVAL, _SHORTER_BY, _LEAST_INTERVAL = 0.22, 0.03, 0.06


@dataclass(kw_only=True)
class APGDItems(AscentItems):
    """Items of APGD.

    Attributes:
        previous: The point before ``x``.
        last_loss: The loss of the point before ``x``.
        rises: How often the loss rose since the last checkpoint.
        checked_loss: ``best_loss`` at the last checkpoint.
        eased: Whether the step was halved at the last checkpoint.
    """

    previous: Float[Tensor, "n c h w"]
    last_loss: Float[Tensor, " n"]
    rises: Int[Tensor, " n"]
    checked_loss: Float[Tensor, " n"]
    eased: Bool[Tensor, " n"]


@dataclass(frozen=True)
class APGD(Ascent):
    """Ascent with momentum on a loss; an item's step is halved where it no longer helps.

    Restarts go side by side.

    Source:
        Croce and Hein, 2020, arXiv:2003.01690, Algorithm 1.
    """

    rho: float = 0.75

    item_type = APGDItems

    @property
    def n_steps(self) -> int:
        """Steps of an attempt that finds nothing."""
        return self.n_iter + 1

    @property
    def attempts(self) -> int:
        """Restarts, for each target."""
        return self.n_restarts * max(1, self.n_target_classes)

    def begin(self, example: Example, ball: Ball) -> APGDItems:
        """Return the items at their random starts."""
        common = repeated(example, self.attempts)
        x = starting_point(example, ball, self.attempts)
        zero = torch.zeros_like(common["factor"], dtype=x.dtype)
        return APGDItems(
            **common,
            x=x,
            previous=x,
            best_x=x,
            best_gradient=torch.zeros_like(x),
            best_loss=torch.full_like(zero, -math.inf),
            last_loss=zero,
            rises=torch.zeros_like(common["step"]),
            checked_loss=zero,
            eased=torch.ones_like(common["step"], dtype=torch.bool),
            step_size=zero + 2 * ball.eps,
        )

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the next point of every item, and move on from it."""
        assert isinstance(items, APGDItems), "the items are those that it began"
        answer = self.ask(network, items)
        found = answer.logits.argmax(dim=1) != items.labels
        done = items.step >= self.n_iter
        moved = self._moved(items, answer.losses.to(items.best_loss), answer.gradient, ball)
        return Step(moved, found, items.x, done)

    @cached_property
    def intervals(self) -> Int[Tensor, " i"]:
        """How many steps since the checkpoint before, by the step; 0 where there is none."""
        n = self.n_iter
        interval, shorter, least = (
            max(int(share * n), 1) for share in (_FIRST_INTERVAL, _SHORTER_BY, _LEAST_INTERVAL)
        )
        found, at = torch.zeros(n + 1, dtype=torch.int64), interval
        while at <= n:
            found[at] = interval
            interval = max(interval - shorter, least)
            at += interval
        return found

    def _moved(
        self,
        items: APGDItems,
        losses: Float[Tensor, " n"],
        gradient: Float[Tensor, "n c h w"],
        ball: Ball,
    ) -> APGDItems:
        """Return the items after a point, with the next one to ask about."""
        is_start = items.step == 0
        items = with_best(items, losses, gradient, losses > items.best_loss)
        rises = items.rises + (~is_start & (losses > items.last_loss))
        checked_loss = losses.where(is_start, items.checked_loss)

        interval = self.intervals.to(losses.device)[items.step.clamp(max=self.n_iter)]
        is_checked = interval > 0
        wavers = rises <= self.rho * interval
        stands = ~items.eased & (checked_loss >= items.best_loss)
        eased = is_checked & (wavers | stands)

        x, gradient = (
            items.best_x.where(wide(eased), items.x),
            items.best_gradient.where(wide(eased), gradient),
        )
        step_size = torch.where(eased, items.step_size / 2, items.step_size)
        return replace(
            items,
            step=items.step + 1,
            x=self._next(x, items, gradient, step_size, ball),
            previous=x,
            # the package compares the first step with a loss of 0, not with that of the start
            last_loss=losses.where(~is_start, 0),
            rises=rises.where(~is_checked, 0),
            checked_loss=items.best_loss.where(is_checked, checked_loss),
            eased=eased.where(is_checked, items.eased),
            step_size=step_size,
        )

    def _next(
        self,
        x: Float[Tensor, "n c h w"],
        items: APGDItems,
        gradient: Float[Tensor, "n c h w"],
        step_size: Float[Tensor, " n"],
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        project, clean = ball.norm.project, items.clean
        moved = project(x + wide(step_size) * ball.norm.steepest(gradient, x), clean, ball.eps)
        share = wide(torch.where(items.step == 0, 1.0, _MOMENTUM))
        return project(
            x + share * (moved - x) + (1 - share) * (x - items.previous), clean, ball.eps
        )
