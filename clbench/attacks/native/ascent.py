"""What every kind of APGD has: a loss to raise, and the point where it was highest."""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clbench.attacks.native.items import Items, wide
from clbench.attacks.native.losses import LOSSES, LossName
from clbench.attacks.native.pool_attack import Answer, Network


@dataclass(kw_only=True)
class AscentItems(Items):
    """Items of an ascent.

    Attributes:
        x: The point to ask about next.
        best_x: The point of the highest loss so far, ``best_loss``, with its gradient
            ``best_gradient``.
        step_size: In the norm.
    """

    x: Float[Tensor, "n c h w"]
    best_x: Float[Tensor, "n c h w"]
    best_gradient: Float[Tensor, "n c h w"]
    best_loss: Float[Tensor, " n"]
    step_size: Float[Tensor, " n"]


_Kind = TypeVar("_Kind", bound=AscentItems)


@dataclass(frozen=True)
class Ascent:
    """What is asked, and how often.

    With ``n_target_classes`` there is an attempt for each of the most likely wrong classes of the
    clean image. Gradients are averaged over ``eot_iter`` passes.
    """

    loss: LossName
    n_iter: int = 100
    n_restarts: int = 1
    n_target_classes: int = 0
    eot_iter: int = 1

    def ask(self, network: Network, items: AscentItems) -> Answer:
        """Return logits, losses and gradients at the next points."""
        return network.gradient(
            items.x,
            lambda logits: LOSSES[self.loss](logits, items.labels, items.target),
            times=self.eot_iter,
        )


def with_best(
    items: _Kind,
    losses: Float[Tensor, " n"],
    gradient: Float[Tensor, "n c h w"],
    better: Bool[Tensor, " n"],
) -> _Kind:
    """Return the items with the points just asked about as their best, where they are better."""
    return replace(
        items,
        best_x=items.x.where(wide(better), items.best_x),
        best_gradient=gradient.where(wide(better), items.best_gradient),
        best_loss=torch.where(better, losses, items.best_loss),
    )
