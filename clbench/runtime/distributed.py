"""Several processes as one: who holds which part of a batch, and what they tell each other."""

from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn


def gather(fabric: Fabric, rows: Tensor) -> Tensor:
    """Return the rows of all processes, in their order, with gradients to each of them.

    Rows are along the axis of examples: the second of [views, n, d], the only one of labels.
    """
    if fabric.world_size == 1:
        return rows
    # torch's gather with gradients binds the group as a default value, which never lets it end
    parts = [torch.zeros_like(rows) for _ in range(fabric.world_size)]
    parts[fabric.global_rank] = rows
    gathered: Tensor = _Sum.apply(torch.cat(parts, dim=1 if rows.ndim > 1 else 0))
    return gathered


def own_part(fabric: Fabric, n: int) -> slice:
    """Return which of ``n`` examples of a global batch this process holds; all hold equally many.

    What cannot be divided evenly is left out.
    """
    each = n // fabric.world_size
    return slice(fabric.global_rank * each, (fabric.global_rank + 1) * each)


def synchronised(network: nn.Module, fabric: Fabric) -> None:
    """Let the batch norms of ``network`` see the batch of all processes together."""
    if fabric.world_size == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, GlobalBatchNorm.of(child))


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose losses are summed as well."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401 - untyped in torch
        del ctx
        return _summed(rows)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:  # noqa: ANN401 - untyped in torch
        del ctx
        return _summed(slopes[0])


def _summed(rows: Tensor) -> Tensor:
    total = rows.clone()
    torch.distributed.all_reduce(total)
    return total


class GlobalBatchNorm(nn.BatchNorm2d):
    """A batch norm over the examples of all processes, which must hold equally many.

    torch's own runs on GPUs only.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "GlobalBatchNorm":
        """Return the same batch norm, with the same parameters and statistics."""
        made = cls(norm.num_features, norm.eps, norm.momentum)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        return made.train(norm.training)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the normalised maps; in training mode with the statistics of all processes."""
        if not self.training:
            return super().forward(images)
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        world = torch.distributed.get_world_size()
        mean = _Sum.apply(wide.mean(dim=(0, 2, 3))) / world
        centred = wide - mean[:, None, None]
        variance = _Sum.apply(centred.square().mean(dim=(0, 2, 3))) / world
        self._note(mean.detach(), variance.detach(), count=world * images.numel() // len(mean))
        normal = centred * (variance + self.eps).rsqrt()[:, None, None]
        shown: Tensor = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return shown.to(images.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor, *, count: int) -> None:
        assert self.running_mean is not None, "batch norms of ours keep statistics"
        assert self.running_var is not None, "batch norms of ours keep statistics"
        assert self.num_batches_tracked is not None, "batch norms of ours keep statistics"
        assert self.momentum is not None, "batch norms of ours have a momentum"
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
        self.num_batches_tracked += 1
