"""What stands around every attack: the network left as found, and every success confirmed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
"""In what attacks may run; verdicts are always in float32."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class AttackedModel(nn.Module):
    """A network as attacks see it: logits in float32, passes counted, contiguous gradients.

    Attack packages reshape the gradient at the images with ``view``, which fails for the strides
    that networks in channels_last format give. A network that offers a faster equal of itself,
    ``folded()``, is attacked through that; in ``precision`` bfloat16 it runs under autocast. One
    that cuts the gradient off has a gradient of zero here, instead of an error. Verdicts are always
    the plain network's. ``forward_passes`` and ``backward_passes`` count images.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network = network
        self.attacked = _folded(network)
        self.precision = precision
        self.forward_passes = 0
        self.backward_passes = 0
        self.training = False

    def train(self, mode: bool = True) -> "AttackedModel":
        """Do nothing: torchattacks would put the network back into training mode."""
        return self

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        self.forward_passes += len(images)
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        if wants_gradient:
            images = _Gate.apply(images, self)
        with torch.autocast(images.device.type, torch.bfloat16, self.precision == "bfloat16"):
            logits: Tensor = self.attacked(images)
        if wants_gradient and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        return logits.float()

    @property
    def is_plain(self) -> bool:
        """Whether attacks see the network that gives the verdicts."""
        return self.attacked is self.network and self.precision == "float32"

    @contextmanager
    def plain(self) -> Iterator[None]:
        """Run the network itself, in float32, for a while."""
        before = self.attacked, self.precision
        self.attacked, self.precision = self.network, "float32"
        try:
            yield
        finally:
            self.attacked, self.precision = before

    def classify(self, images: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
        """Return the classes that the plain network gives in float32; -1 where logits are NaN."""
        with torch.no_grad(), self.plain():
            return classes_of(self(images))


def _folded(network: nn.Module) -> nn.Module:
    """Return the faster equal of a network in eval mode, or the network where it has none."""
    offer = getattr(network, "folded", None)
    return offer() if callable(offer) and not network.training else network


class _Gate(torch.autograd.Function):
    """The identity, through which every gradient at the images passes."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, model: AttackedModel) -> Tensor:  # noqa: ANN401 - untyped in torch
        ctx.model = model
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - untyped in torch
        (gradient,) = gradients
        ctx.model.backward_passes += len(gradient)
        return gradient.contiguous(), None


def classes_of(logits: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Return the class of the highest logit, or -1 where a logit is NaN."""
    return logits.argmax(dim=1).where(~logits.isnan().any(dim=1), -1)
