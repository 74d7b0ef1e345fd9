"""Transfer: images that broke other networks, asked about once each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.attacks.native.items import Items
from clbench.attacks.native.pool_attack import Ball, Example, Network, Step
from clbench.attacks.native.starts import repeated

Found = Callable[[int, Float[Tensor, "1 c h w"]], Float[Tensor, "s c h w"]]
"""From an example's index and its clean image to what broke other networks, one image each."""


@dataclass(kw_only=True)
class TransferItems(Items):
    """Items of Transfer; ``tries`` are the images to ask about, one after the other."""

    tries: Float[Tensor, "n s c h w"]


@dataclass(frozen=True)
class Transfer:
    """Asks about the adversarial images of ``n_steps`` other networks, a forward pass each.

    Where one of them has none for an example, its clean image is asked about.

    Source:
        Papernot et al., 2016, "Transferability in machine learning", arXiv:1605.07277.
    """

    n_steps: int
    found: Found

    item_type = TransferItems
    attempts = 1
    n_target_classes = 0

    def begin(self, example: Example, ball: Ball) -> TransferItems:
        """Return the item before its first image."""
        del ball  # whether an image is inside is checked where it breaks something
        tries = self.found(int(example.index), example.clean)
        return TransferItems(**repeated(example, 1), tries=tries[None])

    def step(self, network: Network, items: Items, ball: Ball) -> Step:
        """Ask about the next image of every item."""
        del ball
        assert isinstance(items, TransferItems), "the items are those that it began"
        row = torch.arange(len(items), device=items.step.device)
        x = items.tries[row, items.step.clamp(max=self.n_steps - 1)]
        wrong = network.logits(x).argmax(dim=1) != items.labels
        step = items.step + 1
        return Step(replace(items, step=step), wrong, x, step >= self.n_steps)
