"""Random views of images, a whole batch at a time, each image with its own random numbers."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clbench.errors import BadValueError


@dataclass(frozen=True)
class Views:
    """How far a view may differ from its image; all zero leaves the image as it is.

    ``rotation`` is in degrees, ``zoom`` a relative change of size, ``shift`` in pixels, each to
    both sides.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        limits = {"rotation": 180.0, "zoom": 0.9, "shift": math.inf}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise BadValueError(
                    f"{name} of views must be from 0 to {most:g}, got {getattr(self, name)!r}"
                )


NO_VIEWS = Views()


def augment(
    images: Float[Tensor, "n c h w"], views: Views, generator: torch.Generator
) -> Float[Tensor, "n c h w"]:
    """Return one random view of every image, in [0, 1].

    What a rotation, zoom or shift brings in from outside is black. ``generator`` lives on the
    images' device, and is all that decides.
    """
    if views == NO_VIEWS:
        return images
    where = functional.affine_grid(
        _affine(images, views, generator), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, where, align_corners=False).clamp(0, 1)


def _affine(
    images: Float[Tensor, "n c h w"], views: Views, generator: torch.Generator
) -> Float[Tensor, "n 2 3"]:
    """Return the maps from a view's coordinates, which go from -1 to 1, to its image's."""
    height, width = images.shape[2:]
    angle = math.radians(views.rotation) * _uniform(images, generator)
    size = 1 + views.zoom * _uniform(images, generator)
    right, down = (
        views.shift * 2 / pixels * _uniform(images, generator) for pixels in (width, height)
    )
    cosine, sine = size * angle.cos(), size * angle.sin()
    # pixels are square, coordinates only where height and width are equal
    aspect = height / width
    rows = (cosine, -sine * aspect, right), (sine / aspect, cosine, down)
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _uniform(images: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, " n"]:
    """Return a number from -1 to 1 for every image."""
    return 2 * torch.rand(len(images), generator=generator, device=images.device) - 1
