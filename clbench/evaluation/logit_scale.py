"""Powers of two that bring logits to where attacks can work with them: attacks divide by guards.

Attacks divide a gradient by its length plus about 1e-12, and losses such as DLR by a difference of
logits plus as much. Where logits are very small these guards rule the step; where they are very far
apart the cross-entropy has no gradient left in float32. A network times a positive number decides
as before, so attacks may see its logits times one; a power of two changes no digit of them.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clbench.evaluation.attacked_model import AttackedModel

SMALLEST_GRADIENT = 1e-10
"""Length of a gradient that a guard of 1e-12 shortens by one hundredth."""

SMALLEST_UNSATURATED = 1e-6
"""The same where logits lie close together, as FAB's guard of 1e-8 begins to matter."""

_SATURATED = 8.0
"""A margin at which the cross-entropy has a gradient of about 1e-3, and above which it fades."""

_MOST = 1000
"""Exponents that fit a double."""


def log2_factors(
    model: AttackedModel, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> Int[Tensor, " n"]:
    """Return, on the CPU, the power of two by which attacks should see each image's logits times.

    It is 0 but where ``is_distorted`` says so. There the factor takes a gradient that is too short
    to about 1; where logits are so far apart, or so close, that none is left, it takes their
    margin, the highest less the next, to between 4 and 8. Each image has one factor for all
    attacks: losses at its neighbours remain comparable, and hyperplanes where they are.
    """
    lengths, margins = _slopes(model, images, labels)
    by_length = (lengths > 0) & lengths.isfinite() & (margins < _SATURATED)
    wanted = torch.where(by_length, 1 / lengths, _SATURATED / margins).log2().floor()
    exponents = wanted.nan_to_num(0, 0, 0).clamp(-_MOST, _MOST).long()
    return exponents.where(_distorted(lengths, margins), 0)


def is_distorted(
    model: AttackedModel, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Say, on the CPU, at which images attacks cannot follow the gradient of the cross-entropy.

    It is too short or too long there, as they see it.
    """
    return _distorted(*_slopes(model, images, labels))


def _slopes(
    model: AttackedModel, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return how long the gradient is at each image, and how far the two highest logits differ."""
    before = model.spoiled
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        logits = model.scaled(model.answer(leaf))
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    model.spoiled = before  # no attack followed it
    return gradient.double().flatten(1).norm(dim=1).cpu(), _margins(logits.detach())


def _distorted(lengths: Float[Tensor, " n"], margins: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    least = torch.where(margins < _SATURATED, SMALLEST_UNSATURATED, SMALLEST_GRADIENT)
    followed: Tensor = (lengths >= least) & (lengths <= 1 / SMALLEST_GRADIENT)
    return ~followed


def same_factor(exponents: Int[Tensor, " n"]) -> Iterator[tuple[float, Int[Tensor, " m"]]]:
    """Yield every factor, and where the images are that have it."""
    for exponent in sorted(set(exponents.tolist())):
        yield 2.0**exponent, (exponents == exponent).nonzero()[:, 0]


def _margins(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    if logits.shape[1] < 2:  # noqa: PLR2004 - one class leaves nothing to tell apart
        return torch.zeros(len(logits), dtype=torch.float64)
    highest = logits.double().topk(2, dim=1).values.cpu()
    margins: Tensor = highest[:, 0] - highest[:, 1]
    return margins
