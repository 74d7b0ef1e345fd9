"""The adversary that a network is trained against."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.attacks.native.pgd import ascend
from clbench.attacks.norms import NORMS
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel
from clbench.training.limits import MOST_EPOCHS, MOST_STEPS, check_limits

Target = Literal["views", "one_view", "image"]
AttackMode = Literal["eval", "frozen_statistics", "train"]

_LEAST_EPS = Fraction(1, 2550)  # below it the images hardly move and the training is standard


@dataclass(frozen=True)
class Adversary:
    """Projected gradient ascent in a ball.

    Attributes:
        eps: The radius in units of the pixel range. During the first ``warmup_epochs`` it grows
            evenly to its full size.
        steps: How many gradient steps.
        step_size: The size of a step as a multiple of eps, so that all steps together reach
            ``steps * step_size`` balls far at any eps.
        fixed_step: The size of a step in units of the pixel range, whatever eps is, instead of
            ``step_size``; the paper's way, by which five steps of 0.01 never fill a ball of 16/255.
        target: What is perturbed: all augmented ``views`` of an image together; ``one_view``,
            compared with clean other ones; or the ``image`` without any augmentation, whose loss is
            added to that of the clean views.
        start: A random point of the ball, its centre (``zero``), or a point near its centre: normal
            ``noise`` of the deviation ``start_noise``, as TRADES has it.
        mode: The network under attack uses the statistics of its batch norms (``eval``); or those
            of the attacked batch, without or with an update of its own (``frozen_statistics``,
            ``train``).
        norm: Of the ball, and of the length of a step.
    """

    eps: Fraction
    steps: int
    step_size: float = 0.0
    fixed_step: float = 0.0
    target: Target = "views"
    start: Literal["random", "zero", "noise"] = "random"
    mode: AttackMode = "eval"
    warmup_epochs: int = 0
    norm: NormName = "Linf"
    start_noise: float = 0.0

    def __post_init__(self) -> None:
        ThreatModel(self.norm, self.eps)  # checks the range
        if self.eps < _LEAST_EPS:
            raise BadValueError(
                f"eps of an adversary must be at least {_LEAST_EPS}, a tenth of an 8-bit level, "
                f"got '{self.eps}'; train an st model"
            )
        check_limits(
            "an adversary",
            self,
            steps=(1, MOST_STEPS),
            warmup_epochs=(0, MOST_EPOCHS),
            step_size=(-math.inf, 100),
            fixed_step=(-math.inf, 10_000),
            start_noise=(0, 1),
        )
        if (self.start == "noise") is not (self.start_noise > 0):
            raise BadValueError(
                "start_noise of an adversary must be above 0 where start = 'noise', and is nothing "
                f"otherwise, got {self.start_noise!r} and {self.start!r}"
            )
        if min(self.step_size, self.fixed_step) < 0 or (self.step_size > 0) is (
            self.fixed_step > 0
        ):
            raise BadValueError(
                "an adversary needs a step_size or a fixed_step above 0, and only one of them, "
                f"got {self.step_size!r} and {self.fixed_step!r}"
            )

    def eps_in(self, epoch: int) -> Fraction:
        """Return the eps of an epoch, counted from 1."""
        return self.eps * min(Fraction(1), Fraction(epoch, self.warmup_epochs + 1))

    @property
    def reach(self) -> float:
        """How far all steps together can go, as a multiple of eps."""
        return self.steps * self.step_at(self.eps) / float(self.eps)

    def step_at(self, eps: Fraction) -> float:
        """Return the size of a step, in units of the pixel range."""
        return self.fixed_step or self.step_size * float(eps)


def perturb(
    objective: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, ""]],
    images: Float[Tensor, "n c h w"],
    adversary: Adversary,
    *,
    eps: Fraction,
    generator: torch.Generator,
) -> Float[Tensor, "n c h w"]:
    """Return the images moved so that the objective grows, inside the eps ball and [0, 1].

    Args:
        objective: Makes one number of the images, through a network whose parameters take no
            gradients.
        images: Where the balls are centred.
        adversary: Start, number and size of the steps.
        eps: The radius, which may still be growing; 0 returns the images.
        generator: On the images' device; all that decides a random start.

    Source:
        Madry et al., 2018, arXiv:1706.06083, Section 2.1.
    """
    norm, radius, step = NORMS[adversary.norm], float(eps), adversary.step_at(eps)
    adversarial = images
    if adversary.start == "random":
        start = radius * norm.random(images.shape, generator)
        adversarial = norm.project(images + start, images, radius)
    if adversary.start == "noise":
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        adversarial = norm.project(images + adversary.start_noise * noise, images, radius)
    for _ in range(adversary.steps):
        adversarial = ascend(objective, adversarial, images, norm, eps=radius, step_size=step)
    return adversarial.detach()
