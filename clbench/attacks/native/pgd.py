"""Projected gradient descent with restarts, and random numbers that belong to each example."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.attacks.interface import NativeAttack
from clbench.attacks.norms import NORMS, Norm
from clbench.attacks.pgd_row import NAME, REACH, ROW
from clbench.runtime.seeding import seed_from
from clbench.schema.attack_spec import Parameter
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class PGD:
    """Ascent on the cross-entropy loss, projected into the ball and the pixel range.

    Every run goes all ``steps`` steps; kept is the point of the highest loss among those that are
    misclassified, or among all where none is. ``step_size`` is in units of the pixel range;
    None stands for 2.5 * eps / steps. The start of an example depends on the seed, the example's
    index and the restart alone, so that no batch size changes it.

    Source:
        Madry et al., 2018, "Towards deep learning models resistant to adversarial attacks".
    """

    steps: int
    step_size: float | None = None
    restarts: int = 1
    start: str = "random"

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return for every image the point found best."""
        best = _Best.of(images)
        for restart in range(self.restarts):
            standing = (~best.wrong).nonzero()[:, 0]
            if len(standing) == 0:
                break
            examples = index[standing.cpu()]
            starts = self._starts(images[standing], threat_model, seed, examples, restart)
            found = self._run(model, images[standing], labels[standing], threat_model, starts)
            best.improve(standing, found)
        return best.images

    def _starts(
        self,
        images: Float[Tensor, "n c h w"],
        threat_model: ThreatModel,
        seed: int,
        index: Int[Tensor, " n"],
        restart: int,
    ) -> Float[Tensor, "n c h w"]:
        if self.start == "zero":
            return images
        seeds = [seed_from(seed, NAME, restart, example) for example in index.tolist()]
        norm, shape = NORMS[threat_model.norm], images.shape[1:]
        noise = [norm.random(shape, torch.Generator().manual_seed(one)) for one in seeds]
        step = float(threat_model.eps) * torch.stack(noise).to(images.device)
        return (images + step).clamp(0, 1)

    def _run(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        starts: Float[Tensor, "n c h w"],
    ) -> "_Best":
        norm, eps = NORMS[threat_model.norm], float(threat_model.eps)
        step_size = REACH * eps / self.steps if self.step_size is None else self.step_size
        best, everything = _Best.of(starts), torch.arange(len(images), device=images.device)

        def objective(points: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
            logits = model(points)
            loss = functional.cross_entropy(logits, labels, reduction="none")
            best.improve(everything, _seen(points, logits, loss, labels))
            return loss.sum()

        current = starts
        for _ in range(self.steps):
            current = ascend(objective, current, images, norm, eps=eps, step_size=step_size)
        with torch.no_grad():
            objective(current)
        return best


def ascend(
    objective: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, ""]],
    images: Float[Tensor, "n c h w"],
    centres: Float[Tensor, "n c h w"],
    norm: Norm,
    *,
    eps: float,
    step_size: float,
) -> Float[Tensor, "n c h w"]:
    """Return images one step further up the objective, inside the ball and [0, 1].

    Args:
        objective: Makes one number of the images.
        images: Where the step starts.
        centres: Of the balls.
        norm: Whose steepest step is taken, and whose ball is kept to.
        eps: The radius, in units of the pixel range.
        step_size: The length of the step in the norm, likewise.
    """
    with torch.enable_grad():
        start = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(start), start)
    moved = images.detach() + step_size * norm.steepest(gradient, images.detach())
    return norm.project(moved, centres, eps)


class _Seen(NamedTuple):
    """Points, whether each is misclassified, and its loss."""

    images: Float[Tensor, "n c h w"]
    wrong: Bool[Tensor, " n"]
    loss: Float[Tensor, " n"]


class _Best(_Seen):
    """The best points so far; changed in place."""

    @classmethod
    def of(cls, images: Float[Tensor, "n c h w"]) -> "_Best":
        n, device = len(images), images.device
        wrong = torch.zeros(n, dtype=torch.bool, device=device)
        return cls(images.clone(), wrong, torch.full((n,), -math.inf, device=device))

    def improve(self, where: Int[Tensor, " m"], seen: _Seen) -> None:
        """Take over at ``where`` what is better: first misclassified, then of higher loss."""
        wrong, loss = self.wrong[where], self.loss[where]
        better = (seen.wrong & ~wrong) | ((seen.wrong == wrong) & (seen.loss > loss))
        target = where[better]
        for mine, theirs in zip(self, seen, strict=True):
            mine[target] = theirs[better]


def _seen(
    images: Float[Tensor, "n c h w"],
    logits: Float[Tensor, "n k"],
    loss: Float[Tensor, " n"],
    labels: Int[Tensor, " n"],
) -> _Seen:
    return _Seen(images.detach(), logits.detach().argmax(1) != labels, loss.detach())


def _make(parameters: Mapping[str, Parameter]) -> PGD:
    """Return the attack with these effective parameters."""
    step_size = float(parameters["step_size"]) if "step_size" in parameters else None
    steps, restarts = int(parameters["steps"]), int(parameters["restarts"])
    return PGD(steps, step_size, restarts, str(parameters["start"]))


ATTACK = NativeAttack(row=ROW, make=_make)
