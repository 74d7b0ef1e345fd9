"""An equal of a network in eval mode whose passes are faster, for attacks."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.jit import optimized_execution  # type: ignore[attr-defined]
from torch.jit._trace import TracerWarning

from clbench.models.backbones.resnet import faster_equal
from clbench.models.validate import same_answers

log = logging.getLogger(__name__)

_KNOWN = ("torch", "timm", "torchvision", "robustbench", "clbench")
"""Packages whose layers do nothing but calculate."""

_FAR = 1e-3
"""Gradients of equal networks differ by no more, as a share of the largest slope at an image."""


class Frozen(nn.Module):
    """A network as a fixed graph: no Python between its layers, batch norms folded.

    Where no gradient is wanted, on the CPU, layers are joined as well. Graphs are run as they were
    written down, as an optimiser at work would change sums after the first passes, and with them
    the last bits.
    """

    def __init__(
        self, graph: torch.jit.ScriptModule, without_gradient: torch.jit.ScriptModule
    ) -> None:
        super().__init__()
        self.graph, self.without_gradient = graph, without_gradient

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        wants_gradient = torch.is_grad_enabled() and images.requires_grad
        graph = self.graph if wants_gradient else self.without_gradient
        with optimized_execution(should_optimize=False):
            logits: Tensor = graph(images)
        return logits


def fast_passes(network: nn.Module, images: Float[Tensor, "n c h w"]) -> nn.Module:
    """Return a faster equal of a network in eval mode, or the network itself.

    Only networks of known layers are written down as a graph: code of a user's own may do more
    than calculate, which a graph would leave out. The graph is taken only where logits and
    gradients are equal but for rounding, on the images that it was made with and on others.

    Args:
        network: Takes images in [0, 1].
        images: As many as will be asked about at once, where that is always the same number.
    """
    if network.training or not _is_known(network):
        return network
    equal = faster_equal(network)
    if equal is network:
        equal = copy.deepcopy(network).requires_grad_(requires_grad=False)
        equal = equal.to(memory_format=torch.channels_last)
    other = images.flip(0).flip(3)
    ways: tuple[Callable[[], nn.Module], ...] = (
        lambda: Frozen(*_graphs(equal, images)),
        lambda: faster_equal(network),
    )
    for make in ways:
        try:
            faster = make()
            if all(_are_equal(network, faster, some) for some in (other, other[:1])):
                return faster
        except (RuntimeError, ValueError, TypeError) as error:
            log.debug("no faster equal of the network: %s", error)
    return network


def _graphs(
    network: nn.Module, images: Float[Tensor, "n c h w"]
) -> tuple[torch.jit.ScriptModule, torch.jit.ScriptModule]:
    """Return the graph of a network, and that of its passes without a gradient.

    Raises:
        ValueError: Its course may depend on the images.
    """
    with torch.no_grad(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")  # torch calls this old, and has nothing in its place
        traced = torch.jit.trace(network, images, check_trace=False)  # type: ignore[no-untyped-call]
        graph: torch.jit.ScriptModule = torch.jit.freeze(traced)
        without_gradient = graph
        if images.device.type == "cpu":
            without_gradient = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    if doubts := [one for one in said if issubclass(one.category, TracerWarning)]:
        raise ValueError(str(doubts[0].message))
    return graph, without_gradient


def _is_known(network: nn.Module) -> bool:
    """Say whether a network consists of known layers alone, as they came."""
    return all(
        _from_known([type(module), *map(type, _hooks(module))])
        and "forward" not in vars(module)
        and not isinstance(module, torch.jit.ScriptModule)
        for module in network.modules()
    )


def _hooks(module: nn.Module) -> list[object]:
    found = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return [hook for hooks in (*found, module._backward_pre_hooks) for hook in hooks.values()]


def _from_known(types: Iterable[type]) -> bool:
    return all(one.__module__.partition(".")[0] in _KNOWN for one in types)


def _answers(
    network: nn.Module, images: Float[Tensor, "n c h w"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n c h w"]]:
    """Return logits, and the gradient of their spread."""
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        logits: Tensor = network(leaf)
        (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), leaf)
    return logits.detach().float(), gradient


def _are_equal(network: nn.Module, other: nn.Module, images: Float[Tensor, "n c h w"]) -> bool:
    logits, gradient = _answers(network, images)
    its_logits, its_gradient = _answers(other, images)
    with torch.no_grad():
        without_gradient: Tensor = other(images)
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    is_near = bool(((gradient - its_gradient).abs() <= _FAR * largest).all())
    return is_near and all(same_answers(logits, one) for one in (its_logits, without_gradient))
