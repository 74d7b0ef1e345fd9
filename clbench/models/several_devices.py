"""Networks whose parameters are on more than one device: they stay there."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

log = logging.getLogger(__name__)


class WhereItIs(nn.Module):
    """A network that is not moved: images go to where it begins, answers back to where they were.

    What it needs besides is its own: it moves what flows from one of its devices to the next.
    """

    def __init__(self, network: nn.Module, begins_on: torch.device) -> None:
        super().__init__()
        self.network = network
        self.begins_on = begins_on
        self.training = network.training

    def forward(self, images: Float[Tensor, "n c h w"]) -> Any:  # noqa: ANN401 - the network's
        """Return the network's answer; the entries of one that is no tensor stay where they are."""
        answer = self.network(images.to(self.begins_on))
        return answer.to(images.device) if isinstance(answer, Tensor) else answer

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> "WhereItIs":
        """Leave everything where it is; what moves or converts a module calls this."""
        return self


def placed(network: nn.Module, device: torch.device, name: str) -> nn.Module:
    """Return a network on a device, or where it is, which is said, where that is on several."""
    tensors = (*network.parameters(), *network.buffers())
    devices = list(dict.fromkeys(one.device for one in tensors))
    if len(devices) <= 1:
        return network.to(device)
    log.warning("%s stays where it is, on %s", name, ", ".join(map(str, devices)))
    return WhereItIs(network, devices[0])
