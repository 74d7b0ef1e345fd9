"""Projected gradient descent with restarts, and random numbers that belong to each example."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import LOSSES
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.pooled import DirectNetwork
from clbench.attacks.native.starts import repeated
from clbench.attacks.norms import Norm
from clbench.attacks.pgd_row import NAME, REACH
from clbench.runtime.seeding import seed_from
from clbench.schema.threat_model import ThreatModel


@dataclass(kw_only=True)
class PGDItems(Items):
    """Items of PGD.

    Attributes:
        x: The point to ask about next.
        best: The best one so far: misclassified if one was, and of the highest loss.
        is_wrong: Whether that is misclassified.
        loss: Its loss.
    """

    x: Float[Tensor, "n c h w"]
    best: Float[Tensor, "n c h w"]
    is_wrong: Bool[Tensor, " n"]
    loss: Float[Tensor, " n"]


@dataclass(frozen=True)
class PGD:
    """Ascent on the cross-entropy loss, projected into the ball and the pixel range.

    Every run goes all ``steps`` steps; kept is the point of the highest loss among those that are
    misclassified, or among all where none is. Restarts follow as long as none is. ``step_size`` is
    in units of the pixel range; None stands for 2.5 * eps / steps. The start of an example depends
    on the seed, the example's index and the restart alone, so that no batch size changes it.

    Source:
        Madry et al., 2018, "Towards deep learning models resistant to adversarial attacks".
    """

    steps: int
    step_size: float | None = None
    restarts: int = 1
    start: str = "random"

    item_type = PGDItems
    attempts = 1
    n_target_classes = 0

    @property
    def n_steps(self) -> int:
        """Passes of an item that finds nothing."""
        return self.restarts * (self.steps + 1)

    def begin(self, example: Example, ball: Ball) -> PGDItems:
        """Return the item at its first start."""
        x = self._start(example.clean, example.index, 0, ball)
        loss = torch.full((1,), -math.inf, dtype=x.dtype, device=x.device)
        is_wrong = torch.zeros(1, dtype=torch.bool, device=x.device)
        return PGDItems(**repeated(example, 1), x=x, best=x, is_wrong=is_wrong, loss=loss)

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the next point of every item, and move on from it or start again."""
        assert isinstance(items, PGDItems), "the items are those that it began"
        logits, losses, gradient = network.gradient(
            items.x, lambda logits: LOSSES["ce"](logits, items.labels, items.target)
        )
        losses, is_wrong = losses.to(items.loss), logits.argmax(dim=1) != items.labels
        better = (is_wrong & ~items.is_wrong) | (
            (is_wrong == items.is_wrong) & (losses > items.loss)
        )
        best, has_wrong = items.x.where(wide(better), items.best), items.is_wrong | is_wrong
        size = REACH * ball.eps / self.steps if self.step_size is None else self.step_size
        moved = items.x + size * ball.norm.steepest(gradient, items.x)
        step = items.step + 1
        is_end = step % (self.steps + 1) == 0
        done = is_end & (has_wrong | (step >= self.n_steps))
        x = self._restarted(
            ball.norm.project(moved, items.clean, ball.eps), items, is_end & ~done, ball
        )
        after = replace(
            items,
            step=step,
            x=x,
            best=best,
            is_wrong=has_wrong,
            loss=losses.where(better, items.loss),
        )
        return Step(after, done & has_wrong, best, done)

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
        """Return for every image the point found best, misclassified or not."""
        network, ball = DirectNetwork(model), Ball.of(threat_model, seed, NAME)
        one = torch.ones(1, dtype=torch.float64, device=images.device)
        rows = zip(*(torch.split(one, 1) for one in (images, labels, index)), strict=True)
        items = PGDItems.join(
            [
                self.begin(Example(clean, label, place, one, None), ball)
                for clean, label, place in rows
            ]
        )
        done = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        while not done.all():
            here = (~done).nonzero()[:, 0]
            made = self.step(network, items.take(here), ball)
            assert isinstance(made.items, PGDItems), "a step keeps the kind of items"
            items.put(here, made.items)
            done[here] = made.done
        return items.best

    def _restarted(
        self, x: Float[Tensor, "n c h w"], items: PGDItems, where: Bool[Tensor, " n"], ball: Ball
    ) -> Float[Tensor, "n c h w"]:
        """Return points with new starts at some places."""
        for row in where.nonzero()[:, 0].tolist():
            here = slice(row, row + 1)
            restart = (int(items.step[row]) + 1) // (self.steps + 1)
            x[here] = self._start(items.clean[here], items.index[here], restart, ball)
        return x

    def _start(
        self, clean: Float[Tensor, "1 c h w"], index: Int[Tensor, " 1"], restart: int, ball: Ball
    ) -> Float[Tensor, "1 c h w"]:
        if self.start == "zero":
            return clean
        seed = seed_from(ball.numbers.seed, NAME, restart, int(index))
        noise = ball.norm.random(clean.shape, torch.Generator().manual_seed(seed))
        return (clean + ball.eps * noise.to(clean.device)).clamp(0, 1)


def ascend(
    objective: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, ""]],
    images: Float[Tensor, "n c h w"],
    centres: Float[Tensor, "n c h w"],
    norm: Norm,
    *,
    eps: float,
    step_size: float,
) -> Float[Tensor, "n c h w"]:
    """Return images one step further up the objective, inside the ball and [0, 1].

    Args:
        objective: Makes one number of the images.
        images: Where the step starts.
        centres: Of the balls.
        norm: Whose steepest step is taken, and whose ball is kept to.
        eps: The radius, in units of the pixel range.
        step_size: The length of the step in the norm, likewise.
    """
    with torch.enable_grad():
        start = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(start), start)
    moved = images.detach() + step_size * norm.steepest(gradient, images.detach())
    return norm.project(moved, centres, eps)
