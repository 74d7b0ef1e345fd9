"""Auto-PGD in L1: ascent by few pixels at a time, in balls that shrink to the one allowed."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from clbench.attacks.l1_ball import nearest_in_ball
from clbench.attacks.native.ascent import Ascent, AscentItems, with_best
from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import gaussian, repeated

_RADII, _SHARE_OF_STEPS = (3, 2, 1), 0.3
"""Of the balls, in eps; and of the steps, what each but the last has."""

_INTERVAL = 0.04
"""Of the steps of a ball, what lies between two checkpoints."""

_FIRST_SHARE = 0.2
"""Of the pixels, what a step changes before the first checkpoint, from a start anywhere."""

_DENSER = 1.5
"""A step changes so many times fewer pixels than the best point does."""

_SPARSER = 0.95
"""With a smaller share of the pixels it had, the best point is sparser than it was."""

_SHORTER, _MOST_SHORTER = 1.5, 10
"""A step is divided by the one at a checkpoint, by the other at most."""

_TINY = 1e-10


@dataclass(kw_only=True)
class APGDL1Items(AscentItems):
    """Items of APGD in L1.

    Attributes:
        share: Of the pixels, how many a step changes: those of the largest slopes.
        n_changed: How many pixels differed from the clean image at the last checkpoint.
    """

    share: Float[Tensor, " n"]
    n_changed: Float[Tensor, " n"]


class Schedule(NamedTuple):
    """What is to be known of every point that a restart asks about.

    Attributes:
        radius: Of its ball, in eps.
        is_start: Whether it is the first one in this ball.
        is_checked: Whether the best point decides anew how many pixels a step changes.
    """

    radius: Float64[Tensor, " s"]
    is_start: Bool[Tensor, " s"]
    is_checked: Bool[Tensor, " s"]

    def at(self, step: Int[Tensor, " n"]) -> "Schedule":
        """Return the rows of these steps, of whatever restart."""
        here = step % len(self.radius)
        return Schedule(*(one.to(step.device)[here] for one in self))


@dataclass(frozen=True)
class APGDL1(Ascent):
    """Ascent along the signs of the largest slopes, of fewer pixels where the best point has fewer.

    With ``use_largereps`` the first steps go within balls of three and two times the radius; each
    ball's best point, drawn into the next ball, is where that one's steps begin. Only what is found
    in the last ball counts. Restarts follow one another: in the time in which nothing counts yet,
    all but the first would be in vain where it succeeds.

    Source:
        Croce and Hein, 2021, arXiv:2103.01208.
    """

    use_largereps: bool = True

    item_type = APGDL1Items

    @property
    def n_steps(self) -> int:
        """Steps of an attempt that finds nothing."""
        return self.n_restarts * len(self.schedule.radius)

    @property
    def attempts(self) -> int:
        """One for each target."""
        return max(1, self.n_target_classes)

    @cached_property
    def schedule(self) -> Schedule:
        """What is to be known of the points of one restart."""
        if not self.use_largereps:
            return _in_ball(1, self.n_iter, knows_start=False)
        first = math.ceil(_SHARE_OF_STEPS * self.n_iter)
        counts = first, first, max(self.n_iter - 2 * first, 0)
        balls = [_in_ball(*one, knows_start=True) for one in zip(_RADII, counts, strict=True)]
        return Schedule(*map(torch.cat, zip(*balls, strict=True)))

    def begin(self, example: Example, ball: Ball) -> APGDL1Items:
        """Return the items at their random starts."""
        common = repeated(example, self.attempts)
        noisy = common["clean"] + gaussian(example, ball, self.attempts)
        x = nearest_in_ball(noisy, common["clean"], float(self.schedule.radius[0]) * ball.eps)
        zero = torch.zeros_like(common["factor"], dtype=x.dtype)
        return APGDL1Items(
            **common,
            x=x,
            best_x=x,
            best_gradient=torch.zeros_like(x),
            best_loss=zero,
            step_size=zero,
            share=zero + _FIRST_SHARE,
            n_changed=zero + x[0].numel(),
        )

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the next point of every item, and move on from it."""
        assert isinstance(items, APGDL1Items), "the items are those that it began"
        answer, now = self.ask(network, items), self.schedule.at(items.step)
        found = (answer.logits.argmax(dim=1) != items.labels) & (now.radius == 1)
        losses = answer.losses.to(items.best_loss)
        best = with_best(items, losses, answer.gradient, now.is_start | (losses > items.best_loss))
        x, gradient, checked = _checked(best, answer.gradient, now, ball)
        moved = self._moved(checked, x + _sparse_step(checked, gradient), ball)
        return Step(moved, found, items.x, moved.step >= self.n_steps)

    def _moved(
        self, items: APGDL1Items, wanted: Float[Tensor, "n c h w"], ball: Ball
    ) -> APGDL1Items:
        """Return the items with the next point to ask about: what is wanted, or a ball's start."""
        step = items.step + 1
        following, is_restart = self.schedule.at(step), step % len(self.schedule.radius) == 0
        wanted = items.best_x.where(wide(following.is_start), wanted)
        for row in (is_restart & (step < self.n_steps)).nonzero()[:, 0].tolist():
            place = int(items.index[row]), int(items.attempt[row]), int(step[row])
            noise = ball.numbers.normal(*place, n=wanted[row].numel()).to(wanted)
            wanted[row] = items.clean[row] + noise.reshape(wanted[row].shape)
        return replace(
            items,
            step=step,
            x=nearest_in_ball(wanted, items.clean, following.radius * ball.eps),
            share=items.share.where(~is_restart, _FIRST_SHARE),
            n_changed=items.n_changed.where(~is_restart, wanted[0].numel()),
        )


def _in_ball(radius: int, n_iter: int, *, knows_start: bool) -> Schedule:
    """Return what is to be known of the points in a ball.

    Where a start is no point of chance, it says how many pixels the first step changes.
    """
    point = torch.arange(n_iter + 1)
    is_checked = point % max(int(_INTERVAL * n_iter), 1) == 0
    is_checked[0] = knows_start
    return Schedule(torch.full_like(point, radius).double(), point == 0, is_checked)


def _checked(
    items: APGDL1Items, gradient: Float[Tensor, "n c h w"], now: Schedule, ball: Ball
) -> tuple[Tensor, Tensor, APGDL1Items]:
    """Return whence a step goes and the gradient there, and the items as the step is to be.

    Where the best point has become sparser, the next step starts there, as long as it may be.
    """
    n_changed = (items.best_x != items.clean).flatten(1).sum(dim=1).to(items.n_changed)
    is_sparser = now.is_checked & (n_changed / items.n_changed < _SPARSER)
    longest = (now.radius * ball.eps).to(items.step_size)
    shorter = (items.step_size / _SHORTER).maximum(longest / _MOST_SHORTER)
    step_size = shorter.where(now.is_checked, items.step_size)
    checked = replace(
        items,
        step_size=longest.where(now.is_start | is_sparser, step_size),
        share=(n_changed / items.x[0].numel() / _DENSER).where(now.is_checked, items.share),
        n_changed=n_changed.where(now.is_checked, items.n_changed),
    )
    back = wide(is_sparser)
    return items.best_x.where(back, items.x), items.best_gradient.where(back, gradient), checked


def _sparse_step(
    items: APGDL1Items, gradient: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n c h w"]:
    """Return steps along the signs of the largest slopes, all pixels by as much."""
    slopes = gradient.abs().flatten(1)
    n = slopes.shape[1]
    n_wanted = n - ((1 - items.share) * n).clamp(0, n - 1).long()
    largest = slopes.topk(int(n_wanted.max()), dim=1).values
    least = largest.gather(1, n_wanted[:, None] - 1)
    signs = gradient.sign().where((slopes >= least).reshape(gradient.shape), 0)
    n_moved = signs.abs().sum(dim=(1, 2, 3))
    return signs * wide(items.step_size / (n_moved + _TINY))
