"""Is the gradient of a network that of the function it computes? Told by differences of answers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_STEP = 1e-3
"""How far every pixel is moved, a quarter of an 8-bit level: no image looks different."""

_DIRECTIONS = 4

_IMAGES = 4
"""Images that are moved: with the directions, sixteen slopes."""

_MOST_APART = 0.5
"""The share by which slopes may miss: kinks and rounding make a few hundredths, a gradient that is
reversed 2, one of chance or of half of the pixels more than a half."""

_ROUNDINGS = 100
"""Differences of so many roundings of the answers say nothing."""


def is_own_gradient(network: nn.Module, images: Float[Tensor, "n c h w"]) -> bool:
    """Say whether the slope of the winning logit against the next is what answers differ by.

    It is compared along random signs, at points a little inside of [0, 1], as a network may cut
    pixels there. Networks that are too coarse to differ by more than rounding count as right.

    Args:
        network: Takes images; not random, in eval mode.
        images: A few of those that it is to be run on.
    """
    points = (0.1 / 2 + 0.9 * images[:_IMAGES]).detach()
    with torch.enable_grad():
        leaf = points.clone().requires_grad_()
        logits = network(leaf.view_as(leaf))
        if not logits.requires_grad:
            return True
        two, size = logits.detach().topk(2, dim=1).indices, float(logits.detach().abs().max())
        if not size > 0:
            return True
        # in units of the logits, so that no gradient is too small for the images' precision
        (gradient,) = torch.autograd.grad(_margin(logits, two).sum() / size, leaf)
    generator = torch.Generator().manual_seed(0)
    said, found = [], []
    for _ in range(_DIRECTIONS):
        signs = torch.randint(0, 2, points.shape, generator=generator) * 2.0 - 1
        move = _STEP * signs.to(points)
        up, down = (_margin(network(points + way * move), two) for way in (1, -1))
        said.append((gradient * move).double().flatten(1).sum(dim=1))
        found.append((up - down) / 2 / size)
    slopes, differences = torch.stack(said), torch.stack(found)
    rounding = _ROUNDINGS * torch.finfo(logits.dtype).eps
    if not float(differences.abs().mean()) > rounding or not slopes.isfinite().all():
        return True
    return bool((slopes - differences).norm() <= _MOST_APART * differences.norm())


def _margin(logits: Float[Tensor, "n k"], two: Tensor) -> Float[Tensor, " n"]:
    """Return how much the first of two logits is above the second, in double precision."""
    chosen = logits.double().gather(1, two)
    margin: Tensor = chosen[:, 0] - chosen[:, 1]
    return margin
