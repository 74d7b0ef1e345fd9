"""Which network weights are of, told by their names and shapes."""

import re
from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any, NamedTuple

import timm
from torch import Tensor

from clbench.models.backbones.architecture import CLASSES, Architecture
from clbench.models.backbones.resnet import BACKBONES
from clbench.schema.errors import WeightsError

Tensors = Mapping[str, Tensor]

_STAGE = re.compile(r"(?:layer|block)(\d+)\.(?:layer\.)?(\d+)\.")

_BY_DEPTH: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (1, 1, 1, 1)): "resnet10",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
"""The usual names of ResNets by their blocks."""

_STEM, _PATCH = 3, 4
"""Sides of the first convolution of small images; axes of the weights of one."""

_WIDTH = 64
"""Channels that the first stage of an ordinary ResNet has."""

_VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
"""What ViTs of these widths are called; whatever else one has is among its options."""

_HEAD_WIDTH = 64
"""Features of one attention head, where nothing says how many heads there are."""


class Family(NamedTuple):
    """How a family is told, and what of it the weights tell."""

    marks: tuple[str, ...]
    infer: Callable[[Tensors, Mapping[str, Any]], Architecture]


def infer(weights: Tensors, facts: Mapping[str, Any]) -> Architecture | None:
    """Return the one architecture that weights are of; None where they do not tell.

    Whether all of them fit is for filling it to say.

    Args:
        weights: By the names of timm and clbench.
        facts: What is known beside: ``heads`` by width, ``stem_padding``, ``stem_relu``,
            ``shortcut_of``.

    Raises:
        WeightsError: They are of a known family, but of a member that there is not.
    """
    for family in FAMILIES:
        if all(mark in weights for mark in family.marks):
            return family.infer(weights, facts)
    return None


def _classes(weights: Tensors, name: str) -> int:
    return len(weights[f"{name}.weight"]) if f"{name}.weight" in weights else 0


def _layers(weights: Tensors) -> list[int]:
    """Return how many blocks each stage has."""
    counts: dict[int, int] = {}
    for key in weights:
        if found := _STAGE.match(key):
            stage, block = int(found[1]), int(found[2])
            counts[stage] = max(counts.get(stage, 0), block + 1)
    if sorted(counts) != list(range(1, len(counts) + 1)):
        raise WeightsError(
            f"the weights have stages {sorted(counts)}, of which some are missing; "
            "copy the file again, or name its architecture with --arch"
        )
    return [counts[stage] for stage in sorted(counts)]


def _resnet(weights: Tensors, facts: Mapping[str, Any]) -> Architecture:
    block = "bottleneck" if "layer1.0.conv3.weight" in weights else "basic"
    layers = _layers(weights)
    width, in_chans, side = weights["conv1.weight"].shape[:3]
    name = _BY_DEPTH.get((block, tuple(layers)), "")
    both = {CLASSES: _classes(weights, "fc"), "in_chans": in_chans}
    if side == _STEM:
        kept = {key: facts[key] for key in ("stem_padding", "stem_relu") if key in facts}
        sizes = {"block": block, "layers": layers, "width": width}
        called = (name or "resnet") + ("" if width == _WIDTH else f"_w{width}")
        return Architecture("cifar", _known(called), {**sizes, **both, **kept})
    if not name:
        raise WeightsError(
            f"the weights are of a ResNet of {layers} {block} blocks, which timm has no name for; "
            "evaluate it by FILE.py:FACTORY with --weights"
        )
    inner, per_group = weights["layer1.0.conv2.weight"].shape[:2]
    if block == "basic" or (inner, per_group) == (_WIDTH, _WIDTH):
        return Architecture("timm", name, both)
    groups = inner // per_group
    called = f"resnext{name.removeprefix('resnet')}_{groups}x{per_group}d"
    if groups == 1:
        called = f"wide_{name}_{inner // _WIDTH}"
    if timm.is_model(called):
        return Architecture("timm", called, both)
    return Architecture("timm", name, {**both, "cardinality": groups, "base_width": per_group})


def _known(called: str) -> str:
    """Return the name of a backbone of clbench's own, and of others the same with what it is."""
    return called if called in BACKBONES else f"{called}_cifar"


def _preact(weights: Tensors, facts: Mapping[str, Any]) -> Architecture:
    layers = _layers(weights)
    width, in_chans = weights["conv1.weight"].shape[:2]
    if "layer1.0.conv3.weight" in weights:
        raise WeightsError(
            "the weights are of a pre-activation ResNet of bottleneck blocks, which clbench has "
            "not; evaluate it by FILE.py:FACTORY with --weights"
        )
    options: dict[str, Any] = {"layers": layers, "width": width, "in_chans": in_chans}
    options |= {CLASSES: _classes(weights, "fc"), "final_norm": "bn.weight" in weights}
    options |= {key: facts[key] for key in ("shortcut_of",) if key in facts}
    return Architecture("preact", f"preactresnet{2 * sum(layers) + 2}", options)


def _wide(weights: Tensors, _facts: Mapping[str, Any]) -> Architecture:
    layers = _layers(weights)
    stem, in_chans = weights["conv1.weight"].shape[:2]
    width = len(weights["block1.layer.0.conv1.weight"])
    options: dict[str, Any] = {"layers": layers, "width": width, "stem": stem}
    options |= {"in_chans": in_chans, CLASSES: _classes(weights, "fc")}
    options |= {"bias": "fc.bias" in weights} if options[CLASSES] else {}
    # six layers for each block of the three stages, and four around them
    depth = 2 * sum(layers) + 4
    return Architecture("wide", f"wrn_{depth}_{width // stem}", options)


def _vit(weights: Tensors, facts: Mapping[str, Any]) -> Architecture:
    width, in_chans, patch, _ = weights["patch_embed.proj.weight"].shape
    depth = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("blocks."))
    prefix = 1 if "cls_token" in weights else 0
    side = isqrt(weights["pos_embed"].shape[1] - prefix)
    heads = facts.get("heads", {}).get(width, max(1, width // _HEAD_WIDTH))
    options: dict[str, Any] = {"patch_size": patch, "img_size": side * patch, "embed_dim": width}
    options |= {"depth": depth, "num_heads": heads, "in_chans": in_chans}
    options |= {CLASSES: _classes(weights, "head"), "qkv_bias": "blocks.0.attn.qkv.bias" in weights}
    options["mlp_ratio"] = len(weights["blocks.0.mlp.fc1.weight"]) / width
    return Architecture("timm", f"vit_{_VITS.get(width, 'base')}_patch16_224", options)


FAMILIES = (
    Family(("conv1.weight", "block1.layer.0.conv1.weight", "bn1.weight"), _wide),
    Family(("conv1.weight", "layer1.0.conv1.weight", "bn1.weight"), _resnet),
    Family(("conv1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight"), _preact),
    Family(
        (
            *("patch_embed.proj.weight", "pos_embed", "cls_token"),
            *("blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight"),
        ),
        _vit,
    ),
)
"""The first whose names are all there is it."""
