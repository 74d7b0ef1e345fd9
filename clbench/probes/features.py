"""What flows at the layers of a network during a forward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.probes.layers import Layer, Layers

_ASKED = (2, 3)
"""Numbers of images by which the axis of the examples is found."""

_CHANNELS_AT = {4: 1, 3: 2}
"""By the number of axes, that of the channels: of maps, and of tokens."""

Forward = Callable[[Tensor], dict[str, Tensor]]


def flat_copy(features: Float[Tensor, " n *shape"]) -> Float[Tensor, "n d"]:
    """Return a copy with one row per example, flattened in the order of the axes."""
    return features.clone(memory_format=torch.contiguous_format).flatten(1)


@contextmanager
def capture(
    network: nn.Module, layers: Mapping[str, Layer], keep: Callable[[Tensor], Tensor] = flat_copy
) -> Iterator[Forward]:
    """Yield a function that runs the network once and returns what flowed at each layer.

    The function maps images [n, c, h, w] to features by layer name, in the order of execution. A
    layer that is passed k times in one run is ``name``, ``name#2``, ..., ``name#k``; one that is
    not passed, or does not carry a tensor with one row per example, is absent.

    Args:
        network: It is run as it is: mode and device are the caller's.
        layers: Where to listen.
        keep: What to keep of features [n, ...], which are detached; called before the network goes
            on, since later layers may overwrite them in place. It must return something of its
            own: a flat copy, by default.

    All hooks are gone when the context ends, whatever ends it.
    """
    listener = _Listener(network, layers, keep)
    with _listening(layers, listener.note):
        yield listener.forward


def with_example_axes(
    network: nn.Module, layers: Mapping[str, Layer], images: Float[Tensor, "n c h w"]
) -> Layers:
    """Return the layers with the axis of the examples, which is the one that grows with them.

    The network is run as it is on two images and on three. Sequences of tokens, for example, may
    have the tokens first; there may be as many of them as images.
    """
    enough = images[: max(_ASKED)].repeat(max(_ASKED), 1, 1, 1)
    asked = [_shapes(network, layers, enough[:n]) for n in _ASKED]
    return {
        name: layer._replace(axis=_axis([found[name] for found in asked if name in found]))
        for name, layer in layers.items()
    }


def _shapes(
    network: nn.Module, layers: Mapping[str, Layer], images: Float[Tensor, "n c h w"]
) -> dict[str, torch.Size]:
    """Return the shape of what flows at each layer when it is passed first."""
    shapes: dict[str, torch.Size] = {}

    def note(name: str, carried: object) -> None:
        if isinstance(carried, Tensor):
            shapes.setdefault(name, carried.shape)

    with _listening(layers, note):
        answer = network(images)
    for name in _answers(network, layers):
        note(name, answer)
    return shapes


def _axis(shapes: Sequence[torch.Size]) -> int | None:
    """Return the only axis that is as long as there are images; 0 for what was not passed."""
    if len(shapes) != len(_ASKED):
        return 0
    grows = [k for k, sizes in enumerate(zip(*shapes, strict=False)) if sizes == _ASKED]
    return grows[0] if len(grows) == 1 else None


def _answers(network: nn.Module, layers: Mapping[str, Layer]) -> list[str]:
    """Return the layers that stand for what the network returns."""
    return [name for name, one in layers.items() if (one.module, one.side) == (network, "output")]


@contextmanager
def _listening(layers: Mapping[str, Layer], note: Callable[[str, object], None]) -> Iterator[None]:
    with ExitStack() as hooks:
        for name, layer in layers.items():
            # compiled TorchScript takes no hooks, but what the network returns is known
            if not isinstance(layer.module, torch.jit.ScriptModule):
                hooks.enter_context(_hook(name, layer, note))
        yield


def in_order(carried: Tensor, layer: Layer) -> Tensor | None:
    """Return what flows at a layer with its axes in order, None where no axis is the examples'.

    That is [n, channels, height, width] or [n, tokens, channels], where the layer tells how many
    channels there are, and one axis alone is as long; otherwise the examples first, and the others
    as they come.
    """
    if layer.axis is None or carried.ndim <= layer.axis:
        return None
    features = carried.movedim(layer.axis, 0)
    wanted = _CHANNELS_AT.get(features.ndim)
    found = [k for k in range(1, features.ndim) if features.shape[k] == layer.channels]
    if wanted is None or len(found) != 1:
        return features
    return features.movedim(found[0], wanted)


class _Listener:
    """Keeps what flows at the layers during one run."""

    def __init__(
        self, network: nn.Module, layers: Mapping[str, Layer], keep: Callable[[Tensor], Tensor]
    ) -> None:
        self._network, self._keep = network, keep
        self._layers = layers
        self._answers = _answers(network, layers)
        self._found: dict[str, Tensor] = {}
        self._n_images = 0

    def note(self, name: str, carried: object) -> None:
        """Keep what was carried to a layer, under the first name that is free."""
        if not isinstance(carried, Tensor) or not carried.is_floating_point():
            return
        features = in_order(carried.detach(), self._layers[name])
        if features is None or len(features) != self._n_images:
            return
        names = (name if k == 1 else f"{name}#{k}" for k in count(1))
        free = next(one for one in names if one not in self._found)
        self._found[free] = self._keep(features)

    def forward(self, images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Run the network once and return what was kept."""
        self._found = {}
        self._n_images = len(images)
        answer = self._network(images)
        for name in self._answers:
            if name not in self._found:
                self.note(name, answer)
        found, self._found = self._found, {}
        return found


def fastest_layout(
    network: nn.Module, images: Float[Tensor, "n c h w"], device: torch.device
) -> torch.memory_format:
    """Return the memory format of images in which ``network`` is likely to be fastest.

    That is channels_last for convolutions on a CPU, where the network can take it, which is tried
    on a few of the images. The network itself is not converted.
    """
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    if device.type != "cpu" or not convolves:
        return torch.contiguous_format
    try:
        network(images.contiguous(memory_format=torch.channels_last))
    except RuntimeError:  # for example a view(), which needs features in the order of the axes
        return torch.contiguous_format
    return torch.channels_last


def _hook(name: str, layer: Layer, note: Callable[[str, object], None]) -> RemovableHandle:
    if layer.side == "output":
        return layer.module.register_forward_hook(lambda _module, _args, out: note(name, out))
    return layer.module.register_forward_pre_hook(
        lambda _module, args: note(name, args[0] if args else None)
    )
