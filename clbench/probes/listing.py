"""The layers of a network as a list: what ``--layer`` can name, and what flows there."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.probes.features import capture, with_example_axes
from clbench.probes.layers import EVERYTHING, Layer, select_layers
from clbench.runtime.as_found import left_as_found


class LayerRow(NamedTuple):
    """A layer: the name that asks for it, the class of its module, the features of one image.

    ``features`` are the axes but that of the examples, None where no tensor with an entry for each
    example passes. ``is_usual`` layers are compared where none are asked for.
    """

    layer: str
    module: str
    features: tuple[int, ...] | None
    is_usual: bool


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
        if layer not in usual.values()
    }
    with left_as_found(network), torch.no_grad():
        asked = with_example_axes(network, places, images)
        with capture(network, asked, torch.clone) as features_of:
            found = features_of(images.repeat(2, 1, 1, 1)[:2])
    return [_row(name, layer, found.get(name), name in usual) for name, layer in places.items()]


def _row(name: str, layer: Layer, features: Tensor | None, is_usual: bool) -> LayerRow:
    module = type(layer.module).__name__
    before = f"before {module}" if layer.side == "input" else module
    return LayerRow(name, before, None if features is None else tuple(features.shape[1:]), is_usual)
