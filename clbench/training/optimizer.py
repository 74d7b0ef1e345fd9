"""How weights follow the gradient, as recipes say it."""

import math
from collections.abc import Callable
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim import Optimizer as TorchOptimizer

from clbench.training.recipe import Optimizer


def _sgd(row: Optimizer) -> dict[str, Any]:
    return {"momentum": row.momentum, "nesterov": row.momentum > 0}


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


def lr_factor(
    schedule: Literal["cosine", "constant"], step: int, *, warmup: int, total: int
) -> float:
    """Return what the learning rate is multiplied by: even growth, then half a cosine down to 0.

    >>> [round(lr_factor("cosine", step, warmup=2, total=6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
