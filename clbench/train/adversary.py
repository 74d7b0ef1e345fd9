"""The adversary that a network is trained against."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.attacks.guard import untouched
from clbench.attacks.pgd import project
from clbench.errors import BadValueError
from clbench.threat import ThreatModel


@dataclass(frozen=True)
class Adversary:
    """Projected gradient ascent in an Linf ball, from a random point.

    ``step_size`` is a multiple of eps, so that all steps together reach ``steps * step_size``
    balls far at any eps. During the first ``warmup_epochs``, eps grows evenly to its full size.
    """

    eps: Fraction
    steps: int
    step_size: float
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        ThreatModel("Linf", self.eps)  # checks the range
        for name, least in (("steps", 1), ("warmup_epochs", 0)):
            if getattr(self, name) < least:
                raise BadValueError(
                    f"{name} of an adversary must be at least {least}, got {getattr(self, name)}"
                )
        if self.step_size <= 0:
            raise BadValueError(
                f"step_size of an adversary must be above 0, got {self.step_size!r}"
            )

    def eps_in(self, epoch: int) -> Fraction:
        """Return the eps of an epoch, counted from 1."""
        return self.eps * min(Fraction(1), Fraction(epoch, self.warmup_epochs + 1))


def perturb(
    network: nn.Module,
    objective: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n c h w"],
    adversary: Adversary,
    *,
    eps: Fraction,
    generator: torch.Generator,
) -> Float[Tensor, "n c h w"]:
    """Return the images moved so that the objective grows, inside the eps ball and [0, 1].

    The network is attacked in eval mode and without gradients for its parameters, then left as it
    was found: so an attack changes no batch-norm statistics.

    Args:
        network: What the objective looks through.
        objective: Makes one number of the network's outputs.
        images: Where the balls are centred.
        adversary: Number and size of the steps.
        eps: The radius, which may still be growing; 0 returns the images.
        generator: On the images' device; all that decides the start.

    Source:
        Madry et al., 2018, arXiv:1706.06083, Section 2.1.
    """
    ball = ThreatModel("Linf", eps)
    radius = float(eps)
    start = torch.rand(images.shape, generator=generator, device=images.device)
    adversarial = project(images + radius * (2 * start - 1), images, ball)
    with untouched(network), torch.enable_grad():
        for _ in range(adversary.steps):
            adversarial.requires_grad_()
            (slope,) = torch.autograd.grad(objective(network(adversarial)), adversarial)
            moved = adversarial.detach() + adversary.step_size * radius * slope.sign()
            adversarial = project(moved, images, ball)
    return adversarial.detach()
