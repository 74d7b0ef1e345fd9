"""Norms: how far an image is, the nearest allowed one, random ones, the way a loss grows fastest.

Images and perturbations are in units of the pixel range; every function works image by image. A new
norm is a class here, its row in ``NORMS``, and its name in ``clbench.schema.names``.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clbench.attacks.l1_ball import nearest_in_ball
from clbench.schema.names import NormName
from clbench.schema.threat_model import PIXEL_TOLERANCE, TOLERANCES, ThreatModel

_TINY = 1e-12


@runtime_checkable
class Norm(Protocol):
    """What an attack must know of a norm.

    ``tolerance`` is how far outside of the ball rounding to float32 may put an image.
    """

    name: NormName
    tolerance: float

    def distance(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, " n"]:
        """Return how far images are from their centres, in float64."""
        ...

    def project(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], eps: float
    ) -> Float[Tensor, "n c h w"]:
        """Return images moved into the ball around ``centres`` and into [0, 1].

        A row of the result is a function of the row alone. For centres in [0, 1].
        """
        ...

    def random(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*n c h w"]:
        """Return a point, or as many as there are images, drawn from the ball of radius 1."""
        ...

    def steepest(
        self, gradient: Float[Tensor, "n c h w"], images: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c h w"]:
        """Return the step of length 1 from ``images`` along which a linear loss grows most."""
        ...

    def length(self, offset: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return how long changes are, in their own precision."""
        ...

    def far(self, noise: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return a random change of length 1, made of Gaussian noise."""
        ...

    def dual(self, gradient: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return by how much a linear loss grows most along a step of length 1."""
        ...


class Linf:
    """The largest change of a pixel."""

    name: NormName = "Linf"
    tolerance = TOLERANCES["Linf"]

    def distance(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, " n"]:
        """Return the largest change of a pixel, in float64."""
        return _offsets(images, centres).abs().amax(dim=1)

    def project(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], eps: float
    ) -> Float[Tensor, "n c h w"]:
        """Return the nearest images in the ball and in [0, 1]."""
        return (centres + (images - centres).clamp(-eps, eps)).clamp(0, 1)

    def random(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*n c h w"]:
        """Return points drawn uniformly from the cube from -1 to 1."""
        return 2 * torch.rand(shape, generator=generator, device=generator.device) - 1

    def steepest(
        self, gradient: Float[Tensor, "n c h w"], images: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c h w"]:
        """Return the signs of the gradient."""
        del images
        return gradient.sign()

    def length(self, offset: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the largest change of a pixel."""
        return offset.abs().amax(dim=(1, 2, 3))

    def far(self, noise: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return what is uniform in a cube, stretched until it touches the cube from -1 to 1."""
        cube = torch.erf(noise / math.sqrt(2))
        return cube / self.length(cube)[:, None, None, None]

    def dual(self, gradient: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the sum of the absolute slopes."""
        return gradient.abs().sum(dim=(1, 2, 3))


class L2:
    """The Euclidean length of the change."""

    name: NormName = "L2"
    tolerance = TOLERANCES["L2"]

    def distance(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, " n"]:
        """Return the Euclidean length of the change, in float64."""
        lengths: Tensor = _offsets(images, centres).norm(dim=1)
        return lengths

    def project(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], eps: float
    ) -> Float[Tensor, "n c h w"]:
        """Return images scaled into the ball, then cut to [0, 1], in the order of the field.

        They are in both, as cutting never leaves the ball again, but need not be the nearest.
        """
        offset = images - centres
        shrunk = offset * (eps / _lengths(offset).clamp_min(_TINY)).clamp_max(1)
        return (centres + shrunk).clamp(0, 1)

    def random(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*n c h w"]:
        """Return points drawn uniformly from the unit ball."""
        direction = torch.randn(_batch(shape), generator=generator, device=generator.device)
        share = torch.rand((len(direction), 1, 1, 1), generator=generator, device=generator.device)
        radius = share.pow(1 / direction[0].numel())
        return (direction / _lengths(direction) * radius).reshape(shape)

    def steepest(
        self, gradient: Float[Tensor, "n c h w"], images: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c h w"]:
        """Return the gradient at length 1."""
        del images
        return gradient / _lengths(gradient).clamp_min(_TINY)

    def length(self, offset: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the Euclidean length."""
        return _lengths(offset)[:, 0, 0, 0]

    def far(self, noise: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return what is uniform on the unit sphere."""
        return noise / _lengths(noise)

    def dual(self, gradient: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the Euclidean length of the gradient."""
        return _lengths(gradient)[:, 0, 0, 0]


class L1:
    """The sum of the changes of all pixels."""

    name: NormName = "L1"
    tolerance = TOLERANCES["L1"]

    def distance(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, " n"]:
        """Return the sum of the changes of all pixels, in float64."""
        return _offsets(images, centres).abs().sum(dim=1)

    def project(
        self, images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], eps: float
    ) -> Float[Tensor, "n c h w"]:
        """Return the nearest images in the ball and in [0, 1]."""
        return nearest_in_ball(images, centres, eps)

    def random(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*n c h w"]:
        """Return points drawn uniformly from the unit ball.

        Exponential numbers over their sum, one more than there are pixels, are uniform on a
        simplex; without the last one they fill the part of the ball of one sign each.
        """
        n, *image = _batch(shape)
        size = math.prod(image)
        device = generator.device
        uniform = torch.rand((n, size + 1), generator=generator, dtype=torch.float64, device=device)
        lengths = -torch.log1p(-uniform)
        signs = torch.randint(2, (n, size), generator=generator, device=device) * 2 - 1
        points: Tensor = signs * lengths[:, :-1] / lengths.sum(dim=1, keepdim=True)
        return points.reshape(shape).float()

    def steepest(
        self, gradient: Float[Tensor, "n c h w"], images: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c h w"]:
        """Return the step of the one pixel of the largest slope that [0, 1] lets move."""
        blocked = ((images >= 1) & (gradient > 0)) | ((images <= 0) & (gradient < 0))
        slopes = gradient.masked_fill(blocked, 0).flatten(1)
        largest = slopes.abs().argmax(dim=1, keepdim=True)
        step = torch.zeros_like(slopes).scatter(1, largest, slopes.gather(1, largest).sign())
        return step.reshape(gradient.shape)

    def length(self, offset: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the sum of the changes of all pixels."""
        return offset.abs().sum(dim=(1, 2, 3))

    def far(self, noise: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the noise at length 1."""
        return noise / self.length(noise)[:, None, None, None]

    def dual(self, gradient: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the largest slope."""
        return gradient.abs().amax(dim=(1, 2, 3))


NORMS: dict[NormName, Norm] = {norm.name: norm for norm in (Linf(), L2(), L1())}
"""All norms, by their names in RobustBench's spelling."""


def is_inside(
    images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], threat_model: ThreatModel
) -> Bool[Tensor, " n"]:
    """Say which images lie in the ball around their centres and in the pixel range.

    A perturbation may exceed eps by the norm's tolerance, which is what rounding to float32 does.
    An image that holds a NaN lies nowhere.
    """
    norm, pixels = NORMS[threat_model.norm], images.flatten(1)
    in_range = (pixels.amin(dim=1) >= -PIXEL_TOLERANCE) & (
        pixels.amax(dim=1) <= 1 + PIXEL_TOLERANCE
    )
    return (norm.distance(images, centres) <= float(threat_model.eps) + norm.tolerance) & in_range


def _offsets(
    images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n d"]:
    return (images.double() - centres.double()).flatten(1)


def _batch(shape: torch.Size) -> tuple[int, ...]:
    """Return the shape of images, for that of a single image too."""
    return (math.prod(shape[:-3]), *shape[-3:])


def _lengths(vectors: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 1 1"]:
    return vectors.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
