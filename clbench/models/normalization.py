"""What a timm model was trained to see, put inside of it, so that eps is in pixels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

NONE = "none"
"""What a record says where nothing stands before a network."""


_INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
"""Those of timm that tensors have too; bicubic stands for the others."""


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


class Resize:
    """A forward pre-hook that brings images in [0, 1] to the size that a network was trained on.

    It does what timm's evaluation does to pictures, but for rounding to bytes: the shorter side
    (with ``squash``, each) becomes a little longer than wanted, and the middle is cut out.
    Gradients pass.
    """

    def __init__(self, size: tuple[int, int], crop: float, mode: str, *, squash: bool) -> None:
        self.size = size
        self.scaled = [math.floor(side / crop) for side in size]
        if not squash:
            self.scaled = [max(self.scaled)]
        self.mode = InterpolationMode(mode)

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs with their first one in the size that is wanted."""
        images, *others = inputs
        larger = functional.resize(images, self.scaled, interpolation=self.mode, antialias=True)
        middle: Tensor = functional.center_crop(larger.clamp(0, 1), list(self.size))
        return (middle, *others)


def resize_inside(network: nn.Module, cfg: Mapping[str, Any]) -> str:
    """Make a timm network take images of any size, as its configuration says.

    Call it before ``normalise_inside``, as timm resizes first.

    Returns:
        What was put before the network, in words.
    """
    height, width = cfg["input_size"][1:]
    wanted = cfg.get("interpolation", "bicubic")
    mode = wanted if wanted in _INTERPOLATIONS else "bicubic"
    squash = cfg.get("crop_mode") == "squash"
    crop = cfg.get("crop_pct") or 1.0
    network.register_forward_pre_hook(Resize((height, width), crop, mode, squash=squash))
    return f"resized to {height}x{width} ({mode}, crop {crop:g})"


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
