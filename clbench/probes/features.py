"""What flows at the layers of a network during a forward pass."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.probes.layers import Layer

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
    answers_as = next((name for name, one in layers.items() if one == Layer(network)), "")
    listener = _Listener(network, keep, answers_as)
    with ExitStack() as hooks:
        for name, layer in layers.items():
            # compiled TorchScript takes no hooks, but what the network returns is known
            if not isinstance(layer.module, torch.jit.ScriptModule):
                hooks.enter_context(_hook(name, layer, listener.note))
        yield listener.forward


class _Listener:
    """Keeps what flows at the layers during one run; ``answers_as`` names what it ends in."""

    def __init__(
        self, network: nn.Module, keep: Callable[[Tensor], Tensor], answers_as: str
    ) -> None:
        self._network, self._keep, self._answers_as = network, keep, answers_as
        self._found: dict[str, Tensor] = {}
        self._n_images = 0

    def note(self, name: str, carried: object) -> None:
        """Keep what was carried to a layer, under the first name that is free."""
        if not isinstance(carried, Tensor) or not carried.is_floating_point():
            return
        if carried.shape[:1] != (self._n_images,):
            return
        names = (name if k == 1 else f"{name}#{k}" for k in count(1))
        free = next(one for one in names if one not in self._found)
        self._found[free] = self._keep(carried.detach())

    def forward(self, images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Run the network once and return what was kept."""
        self._found = {}
        self._n_images = len(images)
        answer = self._network(images)
        if self._answers_as and self._answers_as not in self._found:
            self.note(self._answers_as, answer)
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
