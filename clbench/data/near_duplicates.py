"""Finds pictures that are in two places, so that none is both trained on and validated on."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from clbench.data.checks import PIXEL_MAX
from clbench.data.image_set import to_floats
from clbench.data.interface import Examples
from clbench.data.stored import Images, parts

Thumbnails = Float32[Tensor, "n d"]

SIDE = 8
"""Thumbnails are 8x8: lossy compression hardly touches the mean of a 4x4 block of CIFAR."""

RMS_MAX = 7.0
"""Two thumbnails nearer than this, in grey levels of 255, are of one picture.

Of 3,805 training images of CIFAR-10 and strongly compressed JPEGs (mean error 7.8) of all 50,000,
twins are 2.8 apart in the median and 6.2 at most. 512 test images, which have no twin there, are at
least 8.7 from all 50,000. The nearest image after the twin is 11.8 or more away for 99 in 100; two
are below 7, second shots of one scene, which stay as only the nearest image is a twin. In
scikit-learn's digits no two of one class are nearer than 10.5.
"""

_SPREAD_SHARE = 0.1
"""Pictures of little contrast are all alike: near duplicates of such are nearer than this share of
what two pictures are apart in the median. In CIFAR-10 and digits that is above ``RMS_MAX``.
"""

_SPREAD_OF = 256
"""Pictures that tell how far two are apart."""

_CHUNK = 1024
"""Rows compared at once: 200 MB of distances for a class of 50,000 images."""


def unique_examples(files: Sequence[Examples]) -> list[Examples]:
    """Return the files without the pictures that a later file has too, in unchanged order.

    A picture is in a later file when it is nearest, among those of its label, to one of the later
    pictures, and their thumbnails differ by less than ``RMS_MAX``. What one file holds twice stays.
    """
    small = [Examples(thumbnails(images), labels) for images, labels in files]
    dropped = [torch.zeros(len(labels), dtype=torch.bool) for _, labels in files]
    for earlier, later in combinations(range(len(files)), 2):
        dropped[earlier] |= twins(small[earlier], small[later])
    return [
        Examples(images[~twin], labels[~twin])
        for (images, labels), twin in zip(files, dropped, strict=True)
    ]


def twins(earlier: Examples, later: Examples) -> Bool[Tensor, " n"]:
    """Return which of the ``earlier`` thumbnails are nearest to, and a twin of, a later one."""
    found = torch.zeros(len(earlier.labels), dtype=torch.bool)
    for label in set(earlier.labels.tolist()) & set(later.labels.tolist()):
        index = (earlier.labels == label).nonzero().flatten()
        candidates = earlier.images[index]
        for chunk in torch.split(later.images[later.labels == label], _CHUNK):
            distance, nearest = torch.cdist(chunk, candidates).min(dim=1)
            rms = distance / candidates.shape[1] ** 0.5
            found[index[nearest[rms < RMS_MAX]]] = True
    return found


class Copies(NamedTuple):
    """Which images are among others: bit for bit, or else as a near duplicate of one."""

    exact: Bool[Tensor, " n"]
    near: Bool[Tensor, " n"]


def copies(images: Images, others: Images) -> Copies:
    """Return which of ``images`` are among ``others`` too, whatever their labels.

    A near duplicate is compressed again, or a second shot of a scene, within ``RMS_MAX``; one that
    was cropped or mirrored is not found.
    """
    known = set(_contents(others))
    exact = torch.tensor([one in known for one in _contents(images)], dtype=torch.bool)
    return Copies(exact, near(thumbnails(images), thumbnails(others)) & ~exact)


def near(
    small: Thumbnails, others: Float32[Tensor, "m d"], *, rms_max: float = RMS_MAX
) -> Bool[Tensor, " n"]:
    """Return which thumbnails are those of a picture, or nearly, that is among the others."""
    limit = min(rms_max, _SPREAD_SHARE * _spread(others)) * small.shape[1] ** 0.5
    middle = others.mean(dim=0)  # distances of large numbers are inexact
    chunks = torch.split(small - middle, _CHUNK)
    nearest = [torch.cdist(chunk, others - middle).amin(dim=1) for chunk in chunks]
    found: Tensor = torch.cat(nearest) <= limit
    return found


def _spread(small: Thumbnails) -> float:
    """Return what two pictures are apart in the median, in grey levels; 0 where there is one."""
    n = min(len(small), _SPREAD_OF)
    few = small[torch.arange(n) * len(small) // n]
    apart = torch.pdist(few) / small.shape[1] ** 0.5
    return float(apart.median()) if len(apart) else 0.0


def _contents(images: Images) -> Iterator[int]:
    """Give a number for each image that only equal ones share."""
    for part in parts(images):
        for row in to_floats(part).contiguous().numpy():
            yield hash(row.tobytes())


def thumbnails(images: Images) -> Thumbnails:
    """Return images (uint8, or floats in [0, 1]) averaged down, in 0..255, one row for each."""
    scaled = (to_floats(part) * PIXEL_MAX for part in parts(images))
    return torch.cat([adaptive_avg_pool2d(part, SIDE).flatten(1) for part in scaled])
