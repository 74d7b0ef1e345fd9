"""How weights follow the gradient, as recipes say it."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim import Optimizer as TorchOptimizer

from clbench.training.recipe import Optimizer


def _sgd(row: Optimizer) -> dict[str, Any]:
    return {"momentum": row.momentum, "nesterov": row.nesterov and row.momentum > 0}


_OPTIMIZERS: dict[str, tuple[Callable[..., TorchOptimizer], Callable[[Optimizer], Any]]] = {
    "sgd": (SGD, _sgd),
    "adam": (Adam, lambda _row: {}),
    "adamw": (AdamW, lambda _row: {}),
}


def make_optimizer(trained: nn.Module, row: Optimizer) -> TorchOptimizer:
    """Return the optimizer of a recipe over the parameters of ``trained``, as one kernel."""
    make, options = _OPTIMIZERS[row.name]
    return make(
        trained.parameters(), lr=row.lr, weight_decay=row.weight_decay, fused=True, **options(row)
    )


_FALL = 0.1
"""What the learning rate is multiplied by at a milestone."""


def lr_factor(
    schedule: Literal["cosine", "constant", "steps"],
    step: int,
    *,
    warmup: int,
    total: int,
    milestones: Sequence[int] = (),
) -> float:
    """Return what the learning rate is multiplied by: even growth, then half a cosine down to 0.

    All numbers are steps. Other schedules have a constant, or fall at their ``milestones``.

    >>> [round(lr_factor("cosine", step, warmup=2, total=6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    >>> [lr_factor("steps", step, warmup=0, total=3, milestones=[1]) for step in range(3)]
    [1.0, 0.1, 0.1]
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "steps":
        return float(_FALL ** sum(step >= milestone for milestone in milestones))
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
