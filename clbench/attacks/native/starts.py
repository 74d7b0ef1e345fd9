"""Where the attempts of an example begin."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.attacks.native.pool_attack import Ball, Example


def repeated(example: Example, attempts: int) -> dict[str, Any]:
    """Return the fields that all items have, for the attempts of one example."""
    device, target = example.clean.device, example.targets
    if target is None:
        target = torch.full((attempts,), -1, device=device)
    return {
        "clean": example.clean.expand(attempts, -1, -1, -1),
        "labels": example.labels.expand(attempts),
        "index": example.index.expand(attempts),
        "attempt": torch.arange(attempts, device=device),
        "target": target,
        "factor": example.factor.expand(attempts),
        "step": torch.zeros(attempts, dtype=torch.int64, device=device),
    }


def gaussian(example: Example, ball: Ball, attempts: int) -> Float[Tensor, "a c h w"]:
    """Return standard normal noise for every attempt."""
    index, clean = int(example.index), example.clean
    noise = [ball.numbers.normal(index, attempt, 0, n=clean.numel()) for attempt in range(attempts)]
    return torch.stack(noise).reshape(attempts, *clean.shape[1:]).to(clean)


def starting_point(example: Example, ball: Ball, attempts: int) -> Float[Tensor, "a c h w"]:
    """Return a random point for every attempt, as far from the clean image as the ball allows."""
    noise, clean = gaussian(example, ball, attempts), example.clean.expand(attempts, -1, -1, -1)
    return ball.norm.project(clean + ball.eps * ball.norm.far(noise), clean, ball.eps)
