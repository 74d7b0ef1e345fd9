"""What a timm model was trained to see, put inside of it, so that eps is in pixels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from clbench.schema.head import Seen

NONE = "none"
"""What a record says where nothing stands before a network."""


INTERPOLATIONS = {
    one.value: one
    for one in (
        *(InterpolationMode.BICUBIC, InterpolationMode.BILINEAR),
        InterpolationMode.NEAREST,
    )
}
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

    Gradients pass.

    Args:
        scaled: The length of the shorter side, or of both; None where images are not resized.
        size: Height and width of what is cut out of the middle; None where nothing is cut off.
        mode: A name in ``INTERPOLATIONS``.
    """

    def __init__(self, scaled: list[int] | None, size: tuple[int, int] | None, mode: str) -> None:
        self.scaled, self.size, self.mode = scaled, size, INTERPOLATIONS[mode]

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs with their first one in the size that is wanted."""
        images, *others = inputs
        if self.scaled is not None:
            larger = functional.resize(images, self.scaled, interpolation=self.mode, antialias=True)
            images = larger.clamp(0, 1)
        if self.size is not None:
            images = functional.center_crop(images, list(self.size))
        return (images, *others)


def seen_by(network: nn.Module, words: str | None) -> Seen:
    """Return what was put before a network here; ``words`` is what records say of it."""
    seen: dict[str, Any] = {"words": words}
    for hook in network._forward_pre_hooks.values():
        if isinstance(hook, Resize):
            seen["scaled"], seen["size"] = tuple(hook.scaled or ()), tuple(hook.size or ())
            seen["interpolation"] = hook.mode.value
        if isinstance(hook, Normalise):
            seen["mean"] = tuple(hook.mean.flatten().tolist())
            seen["std"] = tuple(hook.std.flatten().tolist())
    return Seen(**seen)


def put_before(network: nn.Module, seen: Seen) -> None:
    """Put before a network what stood before another one."""
    if seen.interpolation:
        size = (seen.size[0], seen.size[1]) if seen.size else None
        network.register_forward_pre_hook(
            Resize(list(seen.scaled) or None, size, seen.interpolation)
        )
    if seen.mean:
        network.register_forward_pre_hook(Normalise(seen.mean, seen.std))


def resize_inside(network: nn.Module, cfg: Mapping[str, Any]) -> str:
    """Make a timm network take images of any size, as its configuration says.

    It does what timm's evaluation does to pictures, but for rounding to bytes: the shorter side
    (with a squashed crop, each) becomes a little longer than wanted, and the middle is cut out.
    Call it before ``normalise_inside``, as timm resizes first.

    Returns:
        What was put before the network, in words.
    """
    height, width = cfg["input_size"][1:]
    wanted = cfg.get("interpolation", "bicubic")
    mode = wanted if wanted in INTERPOLATIONS else "bicubic"
    crop = cfg.get("crop_pct") or 1.0
    scaled = [math.floor(side / crop) for side in (height, width)]
    if cfg.get("crop_mode") != "squash":
        scaled = [max(scaled)]
    network.register_forward_pre_hook(Resize(scaled, (height, width), mode))
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
