"""Random views of images, a whole batch at a time, each image with its own random numbers."""

import functools
import math
from dataclasses import dataclass

import kornia.augmentation as kornia
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clbench.runtime.seeding import randomness
from clbench.schema.errors import BadValueError

MOST_PIXELS = 1024
"""No view is moved further."""


@dataclass(frozen=True)
class Views:
    """How far a view may differ from its image; all zero leaves the image as it is.

    Attributes:
        rotation: Degrees, to both sides.
        zoom: Relative change of size, to both sides.
        shift: Pixels, to both sides in both directions.
        crop_padding: Black pixels around the image, of which a piece of its own size is cut.
        resized_crop: The smallest share of the area that is cut out and made full-size; 0 for none.
        flip: Left and right are exchanged half of the time.
        jitter: Relative change of brightness, contrast and saturation, to both sides, and four
            times the change of hue (as a share of the circle); in random order, for four views of
            five.
        grayscale: The share of views without colour.

    Source:
        Chen et al., 2020, arXiv:2002.05709, Appendix A, for the last four.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    crop_padding: int = 0
    resized_crop: float = 0.0
    flip: bool = False
    jitter: float = 0.0
    grayscale: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "rotation": 180.0,
            "zoom": 0.9,
            "shift": MOST_PIXELS,
            "crop_padding": MOST_PIXELS,
            "resized_crop": 1.0,
            "jitter": 1.0,
            "grayscale": 1.0,
        }
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise BadValueError(
                    f"{name} of views must be from 0 to {most:g}, got {getattr(self, name)!r}"
                )


NO_VIEWS = Views()

_JITTERED = 0.8
"""The share of views with jittered colours."""


def augment(
    images: Float[Tensor, "n c h w"], views: Views, generator: torch.Generator
) -> Float[Tensor, "n c h w"]:
    """Return one random view of every image, in [0, 1].

    What a rotation, zoom or shift brings in from outside is black. ``generator`` lives on the
    images' device, and is all that decides.
    """
    if views.rotation or views.zoom or views.shift:
        where = functional.affine_grid(
            _affine(images, views, generator), list(images.shape), align_corners=False
        )
        images = functional.grid_sample(images, where, align_corners=False).clamp(0, 1)
    pipeline = _pipeline(views, *images.shape[2:])
    if len(pipeline) == 0:
        return images
    # kornia draws from torch's global state
    seed = int(torch.randint(2**31, (1,), generator=generator, device=images.device))
    with randomness(seed), torch.no_grad():
        changed: Tensor = pipeline(images)
    return changed.clamp(0, 1)


@functools.cache
def _pipeline(views: Views, height: int, width: int) -> nn.Sequential:
    """Return what kornia does to a view, each image with its own random numbers."""
    strength, size = views.jitter, (height, width)
    steps = {
        kornia.RandomCrop(size, padding=views.crop_padding): views.crop_padding,
        kornia.RandomResizedCrop(
            size, scale=(views.resized_crop or 1.0, 1.0), cropping_mode="resample"
        ): views.resized_crop,
        kornia.RandomHorizontalFlip(p=0.5): views.flip,
        kornia.ColorJitter(strength, strength, strength, strength / 4, p=_JITTERED): strength,
        kornia.RandomGrayscale(p=views.grayscale): views.grayscale,
    }
    return nn.Sequential(*(step for step, wanted in steps.items() if wanted))


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
