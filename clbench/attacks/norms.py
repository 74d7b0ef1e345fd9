"""Norms: distance, projection, random points and the steepest direction."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clbench.schema.names import Norm
from clbench.schema.threat_model import ThreatModel

TOLERANCE = {"Linf": 1e-6, "L2": 1e-5}
"""How far outside of the ball rounding may put an image, in units of the pixel range."""


_PIXEL_TOLERANCE = 1e-6


def within(
    images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], threat_model: ThreatModel
) -> Bool[Tensor, " n"]:
    """Say which images lie in the ball around their centres and in the pixel range.

    A perturbation may exceed eps by ``TOLERANCE``, which is what rounding to float32 does to it.
    """
    offset = (images.double() - centres.double()).flatten(1)
    lengths = offset.abs().amax(dim=1) if threat_model.norm == "Linf" else offset.norm(dim=1)
    pixels = images.flatten(1)
    in_range = (pixels.amin(dim=1) >= -_PIXEL_TOLERANCE) & (
        pixels.amax(dim=1) <= 1 + _PIXEL_TOLERANCE
    )
    return (lengths <= float(threat_model.eps) + TOLERANCE[threat_model.norm]) & in_range


_TINY = 1e-12


def project(
    images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], threat_model: ThreatModel
) -> Float[Tensor, "n c h w"]:
    """Return ``images`` moved into the ball around ``centres``, then into the pixel range.

    For centres in the pixel range, the second move never leaves the ball again.
    """
    eps, offset = float(threat_model.eps), images - centres
    if threat_model.norm == "Linf":
        offset = offset.clamp(-eps, eps)
    else:
        offset = offset * (eps / _lengths(offset).clamp_min(_TINY)).clamp_max(1)
    return (centres + offset).clamp(0, 1)


def steepest(gradient: Float[Tensor, "n c h w"], norm: Norm) -> Float[Tensor, "n c h w"]:
    """Return the direction of the unit ball in which a linear loss grows fastest."""
    if norm == "Linf":
        return gradient.sign()
    return gradient / _lengths(gradient).clamp_min(_TINY)


def _lengths(vectors: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 1 1"]:
    return vectors.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def draw_in_unit_ball(shape: torch.Size, norm: Norm, seed: int) -> Float[Tensor, "c h w"]:
    """Return a point drawn uniformly from the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    if norm == "Linf":
        return 2 * torch.rand(shape, generator=generator) - 1
    direction = torch.randn(shape, generator=generator)
    radius = torch.rand(1, generator=generator).pow(1 / direction.numel())
    return direction / _lengths(direction[None])[0] * radius
