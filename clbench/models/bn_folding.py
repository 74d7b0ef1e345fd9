"""Batch norms folded into the convolutions before them: an equal network, faster to attack."""

import copy
from collections.abc import Iterator

import torch
from timm.models.resnet import ResNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

_CONVOLUTIONS = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "0": "1"}
"""Children of a ResNet, a block or a shortcut, and the batch norm that follows each."""


class FoldedCopy:
    """A folded copy of a network that keeps changing, as a network in training does.

    ``network`` is what ``fold`` returns; ``refresh`` makes it equal to the original again, for a
    fraction of what another copy costs.
    """

    def __init__(self, original: nn.Module) -> None:
        self.network = fold(original)
        inside = dict(self.network.named_modules())
        pairs = list(_pairs(original))
        self._folded = [
            (module, convolution, norm, inside[name].get_submodule(convolution))
            for name, module, convolution, norm in pairs
        ]
        within = tuple(
            f"{name}.{part}." if name else f"{part}."
            for name, _, convolution, norm in pairs
            for part in (convolution, norm)
        )
        mine = dict((*self.network.named_parameters(), *self.network.named_buffers()))
        self._plain = [
            (tensor, mine[name])
            for name, tensor in (*original.named_parameters(), *original.named_buffers())
            if not name.startswith(within)
        ]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the original's present weights and batch-norm statistics."""
        for module, convolution, norm, target in self._folded:
            source, after = getattr(module, convolution), getattr(module, norm)
            weight, bias = fuse_conv_bn_weights(
                *(source.weight, source.bias, after.running_mean, after.running_var),
                *(after.eps, after.weight, after.bias),
            )
            target.weight.copy_(weight)
            target.bias.copy_(bias)
        for tensor, target in self._plain:
            target.copy_(tensor)


def fold(network: nn.Module) -> nn.Module:
    """Return an equal of a ResNet in eval mode, or of what holds one, that is faster to attack.

    Every batch norm is folded into the convolution before it, and weights are in channels_last
    format. Outputs differ by rounding only. Parameters have no gradients. Of other networks it is a
    copy: what their batch norms follow, only their code tells.
    """
    copied = copy.deepcopy(network)
    copied.eval()
    for _, module, convolution, norm in list(_pairs(copied)):
        fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
        setattr(module, convolution, fused)
        setattr(module, norm, nn.Identity())
    copied.to(memory_format=torch.channels_last)
    copied.requires_grad_(requires_grad=False)
    return copied


def _pairs(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, str]]:
    """Give every convolution with a batch norm behind it: where, in what, and their names."""
    inside = (
        pair
        for name, one in network.named_modules()
        if isinstance(one, ResNet)
        for pair in one.named_modules(prefix=name)
    )
    for name, module in inside:
        for convolution, norm in _CONVOLUTIONS.items():
            before, after = getattr(module, convolution, None), getattr(module, norm, None)
            if not isinstance(before, nn.Conv2d) or not isinstance(after, nn.BatchNorm2d):
                continue
            if after.running_mean is not None:  # without statistics, the batch decides
                yield name, module, convolution, norm
