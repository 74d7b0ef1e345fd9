"""What images and labels must be like; and what is wrong with those that are not."""

import logging
import math

import torch
from torch import Tensor

from clbench.data.stored import Images, parts
from clbench.schema.errors import DataError

log = logging.getLogger(__name__)

_FEW = 0.2
"""The share of images that may be marked by a label that is no class."""

_INK_MAX = 16
"""The brightest pixel of scikit-learn's digits as they come."""

_DARK, _DIM = 0.25, 0.49
"""Shares of the scale below which the brightest pixel of pictures hardly lies; of many pictures."""

_FAR = 0.5
"""Images from -1 to 1 hardly stay within this."""

_MANY = 8
"""Images that do not share their brightest pixel by chance."""

PIXEL_MAX = 255
"""The brightest 8-bit pixel; it becomes 1.0."""


def check_labels(name: str, labels: Tensor, n_classes: int, why: str = "") -> None:
    """Check that every label is a class; ``why`` says what knows how many classes there are.

    Raises:
        DataError: A label is negative, or ``n_classes`` or above; the message names the first.
    """
    wrong = ((labels < 0) | (labels >= n_classes)).nonzero().flatten()
    if len(wrong) > 0:
        first, share = int(wrong[0]), len(wrong) / len(labels)
        hint = ""
        if int(labels.min()) == 1 and int(labels.max()) == n_classes:
            hint = "; they count from 1: subtract 1"
        elif why and share < _FEW:
            hint = f"; leave out the {len(wrong)} of {len(labels)} images that are of no class"
        elif why:
            hint = f"; these labels want at least {int(labels.max()) + 1}"
        raise DataError(
            f"labels of {name} must be from 0 to {n_classes - 1}{f', as {why}' if why else ''}, "
            f"got {int(labels[first])} at example {first}{hint}"
        )


def check_pixels(name: str, images: Images) -> None:
    """Check that floating-point pixels are in [0, 1].

    Raises:
        DataError: A pixel is not, or is NaN.
    """
    low, high, before = math.inf, -math.inf, 0
    for part in parts(images):
        least, most = map(float, part.aminmax())
        low, high = min(least, low), max(most, high)
        if math.isnan(least):  # a NaN anywhere makes the minimum one
            first = before + int(part.isnan().flatten(1).any(dim=1).nonzero()[0])
            raise DataError(f"images of {name} must be numbers, got NaN in example {first}")
        before += len(part)
    if low < 0 or high > 1:
        raise DataError(
            f"images of {name} must be in [0, 1], got values from {low:g} to {high:g}"
            + _to_the_right_scale(low, high)
        )


def _to_the_right_scale(low: float, high: float) -> str:
    """Return what brings images with these extremes into [0, 1], as the end of a line; or ""."""
    if low >= 0 and high <= PIXEL_MAX:
        white = _INK_MAX if _INK_MAX / 2 < high <= _INK_MAX else PIXEL_MAX
        return f"; divide them by {white}"
    if -1 <= low < -_FAR and _FAR < high <= 1:
        return "; take (x + 1) / 2"
    if low < -1 and high > 1:
        return "; undo their normalisation, which belongs into the network"
    return ""


def check_scale(name: str, images: Images) -> None:
    """Check that images use the scale of their type: up to 255, or up to 1 for floats.

    Dark photographs differ in their brightest pixel. Where most images share one that is dark, it
    is the white of another scale: of bits (1), of scikit-learn's digits (16), or of a division by
    255 that was made twice. Those are refused, what is less clear is told in the log.

    Raises:
        DataError: They do not.
    """
    if math.prod(images.shape) == 0 or len(images.shape) < 2:  # noqa: PLR2004 - what has pixels
        return
    brightest, start = torch.empty(len(images)), 0
    for part in parts(images):  # small tensors between large ones would keep their room from reuse
        brightest[start : start + len(part)] = part.flatten(1).amax(dim=1)
        start += len(part)
    white, scale = float(brightest.max()), 1 if images.dtype.is_floating_point else PIXEL_MAX
    shared = int((brightest == white).sum())
    dim = _DIM if len(images) >= _MANY else _DARK
    if not 0 < white / scale <= dim or 2 * shared < len(images):
        return  # a NaN too: check_pixels names it
    level = round(white / scale * PIXEL_MAX)
    known = level == 1 or (level == _INK_MAX and scale != 1)
    if known and len(images) >= _MANY:
        divide = f"divide them by {white:g}" if scale != 1 else "divide them by 255 once, not twice"
        raise DataError(
            f"images of {name} must be {'floats' if scale == 1 else 'uint8'} from 0 to {scale}, "
            f"got {white:g} as the brightest of {shared} of {len(images)}; {divide}, as floats"
        )
    log.warning(
        "%s: the brightest pixel of %d of %d images is %g of %d; taken as they are, dark",
        *(name, shared, len(images), white, scale),
    )
