"""Finds pictures that are in two files, so that none is both trained on and validated on."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from clbench.data.image_set import PIXEL_MAX, to_floats
from clbench.data.interface import Examples

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

_CHUNK = 1024
"""Rows compared at once: 200 MB of distances for a class of 50,000 images."""


def unique_examples(files: Sequence[Examples]) -> list[Examples]:
    """Return the files without the pictures that a later file has too, in unchanged order.

    A picture is in a later file when it is nearest, among those of its label, to one of the later
    pictures, and their thumbnails differ by less than ``RMS_MAX``. What one file holds twice stays.
    """
    small = [Examples(_thumbnails(images), labels) for images, labels in files]
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


def _thumbnails(images: Tensor) -> Thumbnails:
    """Return images (uint8, or floats in [0, 1]) averaged down, in 0..255, one row for each."""
    parts = (to_floats(part) * PIXEL_MAX for part in torch.split(images, _CHUNK))
    return torch.cat([adaptive_avg_pool2d(part, SIDE).flatten(1) for part in parts])
