"""The layers of a network as a list: what ``--layer`` can name, and what flows there."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.probes.features import capture, with_example_axes
from clbench.probes.layers import EVERYTHING, Layer, core_of, select_layers
from clbench.runtime.as_found import left_as_found


class LayerRow(NamedTuple):
    """A layer: the name that asks for it, the class of its module, the features of one image.

    ``features`` are the axes but that of the examples, None where no tensor with an entry for each
    example passes. ``is_usual`` layers are compared where none are asked for. ``axes`` says what
    the axes are, where the network tells, and of tokens how many are none of the image's own.
    """

    layer: str
    module: str
    features: tuple[int, ...] | None
    is_usual: bool
    axes: str = ""


_MAP = 4  # axes of [n, channels, height, width]

_POOLED = {"token": "channels of the class token", "avg": "channels, means over tokens"}
"""By timm's name of a pooling: what is left."""


def list_layers(network: nn.Module, images: Float[Tensor, "n c h w"]) -> list[LayerRow]:
    """Return the usual layers of a network, then every other module that computes something.

    Args:
        network: Where the images are; left as found.
        images: Some that it takes; what flows at two of them is looked at.
    """
    usual = select_layers(network, [])
    places = usual | {
        name: layer
        for name, layer in select_layers(network, [EVERYTHING]).items()
        if layer.place not in {one.place for one in usual.values()}
    }
    with left_as_found(network), torch.no_grad():
        asked = with_example_axes(network, places, images)
        with capture(network, asked, torch.clone) as features_of:
            found = features_of(images.repeat(2, 1, 1, 1)[:2])
    core = core_of(network)
    return [
        _row(name, layer, found.get(name), name in usual, core) for name, layer in places.items()
    ]


def _row(
    name: str, layer: Layer, features: Tensor | None, is_usual: bool, core: nn.Module | None
) -> LayerRow:
    module = type(layer.module).__name__
    before = f"before {module}" if layer.side == "input" else module
    if features is None:
        return LayerRow(name, before, None, is_usual)
    axes = _axes(name, layer, features, core) if is_usual else ""
    return LayerRow(name, before, tuple(features.shape[1:]), is_usual, axes)


def _axes(name: str, layer: Layer, features: Tensor, core: nn.Module | None) -> str:
    """Return what the axes of features [n, ...] of a usual layer are, "" where nobody tells."""
    extra = getattr(core, "num_prefix_tokens", None)  # of timm's networks with tokens
    if name == "logits":
        return "classes"
    if name == "pool":
        return _POOLED.get(str(getattr(core, "global_pool", "")), "") if extra is not None else ""
    if not layer.channels:
        return ""
    if features.ndim == _MAP:
        return "channels, height, width"
    return f"tokens ({extra} more than patches), channels" if extra else "tokens, channels"
