"""PGD on the lead of targets: a few steps at each, then more at those that came nearest."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import likeliest_wrong, of_class
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import repeated

_REACH = 2
"""The first step of a round, in eps."""

_MOMENTUM = 0.9


@dataclass(kw_only=True)
class PGDTargetsItems(Items):
    """Items of this attack.

    Attributes:
        x: The point to ask about next.
        previous: The point before it.
        targets: The likeliest wrong classes of the clean image, the likeliest first.
        leads: Of each of them over the right class, where its first round ended.
    """

    x: Float[Tensor, "n c h w"]
    previous: Float[Tensor, "n c h w"]
    targets: Int[Tensor, "n t"]
    leads: Float[Tensor, "n t"]


class Schedule(NamedTuple):
    """What is to be known of the point of every step.

    Attributes:
        round: Which round it belongs to; -1 for the clean image, which begins.
        is_first: Whether a round begins with it, so that the move to the next one has no momentum.
        is_last: Whether it is the last one of its round.
        size: Of the move from it, in eps.
    """

    round: Int[Tensor, " s"]
    is_first: Bool[Tensor, " s"]
    is_last: Bool[Tensor, " s"]
    size: Float[Tensor, " s"]

    def at(self, step: Int[Tensor, " n"]) -> "Schedule":
        """Return the rows of these steps."""
        here = step.clamp(max=len(self.round) - 1)
        return Schedule(*(one.to(step.device)[here] for one in self))


@dataclass(frozen=True)
class PGDTargets:
    """Rounds of ascent on the lead of one class over the right one, each from a random start.

    There is a round of ``n_iter`` steps for each of the likeliest wrong classes. Then each of the
    ``n_nearest`` whose lead was largest at the end of theirs has one of ``n_iter_nearest``, and
    that as often as ``n_restarts`` says. Steps have momentum, and fall as a cosine does.

    Source:
        Targets one after the other, as Gao et al., 2022, arXiv:2206.07314. To look at all first is
        ours; ``docs/decisions/0029-fast-and-best.md`` has the measurements.
    """

    n_targets: int = 9
    n_iter: int = 7
    n_nearest: int = 3
    n_iter_nearest: int = 24
    n_restarts: int = 2

    item_type = PGDTargetsItems
    attempts = 1
    n_target_classes = 0

    @property
    def n_steps(self) -> int:
        """Steps that find nothing."""
        return len(self.schedule.round)

    @cached_property
    def schedule(self) -> Schedule:
        """What is to be known of the point of every step."""
        more = self.n_nearest * self.n_restarts
        lengths = [self.n_iter] * self.n_targets + [self.n_iter_nearest] * more
        of_round, first, last, size = [-1], [False], [True], [0.0]
        for number, length in enumerate(lengths):
            for k in range(length + 1):
                of_round.append(number)
                first.append(k == 0)
                last.append(k == length)
                size.append(_REACH * (1 + math.cos(math.pi * k / length)) / 2)
        return Schedule(*map(torch.tensor, (of_round, first, last, size)))

    def begin(self, example: Example, ball: Ball) -> PGDTargetsItems:
        """Return the item at its clean image."""
        del ball
        clean, device = example.clean, example.clean.device
        targets = torch.full((1, self.n_targets), -1, device=device)
        leads = torch.full(targets.shape, -torch.inf, dtype=clean.dtype, device=device)
        common = repeated(example, 1)
        return PGDTargetsItems(**common, x=clean, previous=clean, targets=targets, leads=leads)

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the next point of every item, and move on from it."""
        assert isinstance(items, PGDTargetsItems), "the items are those that it began"
        now = self.schedule.at(items.step)
        target = self._target(items, now.round)
        logits, losses, gradient = network.gradient(
            items.x, lambda logits: of_class(logits, target) - of_class(logits, items.labels)
        )
        is_clean = now.round < 0
        likeliest = likeliest_wrong(logits, items.labels, self.n_targets)
        step = items.step + 1
        moved = replace(
            items,
            step=step,
            x=self._next(items, gradient, now, ball),
            previous=items.x,
            targets=likeliest.where(is_clean[:, None], items.targets),
            leads=self._leads(items, losses.to(items.leads), now),
        )
        found = (logits.argmax(dim=1) != items.labels) & ~is_clean
        return Step(moved, found, items.x, step >= self.n_steps)

    def _target(self, items: PGDTargetsItems, of_round: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the class of each item's round; its own where it is at the clean image."""
        nearest = items.leads.argsort(dim=1, descending=True, stable=True)
        all_of_them = torch.arange(self.n_targets).to(nearest).expand_as(nearest)
        again = nearest[:, : self.n_nearest].repeat(1, self.n_restarts)
        order = torch.cat([all_of_them, again], dim=1)
        place = order.gather(1, of_round.clamp(min=0)[:, None])
        target = items.targets.gather(1, place)[:, 0]
        return target.where(of_round >= 0, items.labels)

    def _leads(
        self, items: PGDTargetsItems, losses: Float[Tensor, " n"], now: Schedule
    ) -> Float[Tensor, "n t"]:
        places = torch.arange(self.n_targets, device=losses.device)
        ends = now.is_last[:, None] & (places == now.round[:, None])
        return losses[:, None].where(ends, items.leads)

    def _next(
        self,
        items: PGDTargetsItems,
        gradient: Float[Tensor, "n c h w"],
        now: Schedule,
        ball: Ball,
    ) -> Float[Tensor, "n c h w"]:
        x, clean, project = items.x, items.clean, ball.norm.project
        size = wide(now.size.to(x) * ball.eps)
        moved = project(x + size * ball.norm.steepest(gradient, x), clean, ball.eps)
        share = wide(torch.where(now.is_first, 1.0, _MOMENTUM).to(x))
        smooth = x + share * (moved - x) + (1 - share) * (x - items.previous)
        found = project(smooth, clean, ball.eps)
        for row in now.is_last.nonzero()[:, 0].tolist():
            here = slice(row, row + 1)
            found[here] = self._start(clean[here], items, row, ball)
        return found

    def _start(
        self, clean: Float[Tensor, "1 c h w"], items: PGDTargetsItems, row: int, ball: Ball
    ) -> Float[Tensor, "1 c h w"]:
        """Return where an item's next round begins; its numbers are those of its step."""
        place = int(items.index[row]), 0, int(items.step[row])
        noise = ball.numbers.normal(*place, n=clean.numel()).reshape(clean.shape).to(clean)
        return ball.norm.project(clean + ball.eps * ball.norm.far(noise), clean, ball.eps)
