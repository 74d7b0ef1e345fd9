"""The normalisation that a timm model was trained with, put where clbench wants it: inside."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NONE = "none"
"""What a record says where nothing stands before a network."""


class Normalise:
    """A forward pre-hook that takes images in [0, 1] to what a network was trained on.

    A hook leaves the network's class and the names of its weights as they are.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = torch.tensor(mean).reshape(-1, 1, 1)
        self.std = torch.tensor(std).reshape(-1, 1, 1)

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs with their first one normalised."""
        images, *others = inputs
        return ((images - self.mean.to(images)) / self.std.to(images), *others)


def normalise_inside(network: nn.Module, cfg: Mapping[str, Any], channels: int) -> str:
    """Make a timm network take images in [0, 1], by the mean and deviation of its configuration.

    Returns:
        What was put before the network, in words, ``NONE`` where that is nothing.
    """
    mean, std = (_per_channel(cfg[key], channels) for key in ("mean", "std"))
    if set(mean) == {0.0} and set(std) == {1.0}:
        return NONE
    network.register_forward_pre_hook(Normalise(mean, std))
    return f"normalised by mean {_in_words(mean)} and std {_in_words(std)}"


def _per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value per channel; where timm adapted the channels, the average of all."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels


def _in_words(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
