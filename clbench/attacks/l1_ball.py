"""The nearest point of an L1 ball that lies in the pixel range."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_NEWTONS, _HALVINGS = 30, 60
"""Rounds: those that may take Newton's step, and then as many as close an interval of doubles."""

_NEAR = 1e-12
"""A row is there when its length is off by this share of the radius."""


def nearest_in_ball(
    images: Float[Tensor, "n c h w"],
    centres: Float[Tensor, "n c h w"],
    eps: float | Float64[Tensor, " n"],
) -> Float[Tensor, "n c h w"]:
    """Return the nearest images in the L1 balls around ``centres`` and in [0, 1].

    By the conditions of Karush, Kuhn and Tucker the nearest change is the wanted one with every
    pixel moved towards zero by one threshold and then cut to the pixel range. A row is a function
    of its row alone.

    Args:
        images: What is wanted; anywhere.
        centres: In [0, 1].
        eps: The radius, from 0 up; for all rows, or for each.
    """
    centre = centres.double().flatten(1)
    offset = images.double().flatten(1) - centre
    length, room = offset.abs(), torch.where(offset > 0, 1 - centre, centre)
    radius = torch.as_tensor(eps, dtype=torch.float64, device=length.device).reshape(-1, 1)
    change = _moved(length - _threshold(length, room, radius), room)
    return (centre + change.copysign(offset)).reshape(images.shape).to(images.dtype)


def _moved(left: Float64[Tensor, "n d"], room: Float64[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    return torch.minimum(left, room).clamp_min_(0)


def _threshold(
    length: Float64[Tensor, "n d"], room: Float64[Tensor, "n d"], radius: Float64[Tensor, "m 1"]
) -> Float64[Tensor, "n 1"]:
    """Return by how much the changes of each row must shrink to fit together into the radius.

    Their sum falls with the threshold along a line between two kinks, so that Newton's step from
    the right piece is exact. From another one it may lead astray: where it leaves what is known to
    hold the threshold, the middle is taken, and at last always.
    """
    low, high = torch.zeros_like(length[:, :1]), length.amax(dim=1, keepdim=True)
    at, near = low, _NEAR * radius
    for number in range(_NEWTONS + _HALVINGS):
        left = length - at
        excess = _moved(left, room).sum(dim=1, keepdim=True) - radius
        low, high = at.where(excess > near, low), at.where(excess <= near, high)
        goes_on = (excess.abs() > near) & (low < high)
        if not goes_on.any():
            break
        slope = ((left > 0) & (left <= room)).sum(dim=1, keepdim=True)
        newton, middle = at + excess / slope, (low + high) / 2
        usable = (low < newton) & (newton < high) & (number < _NEWTONS)
        at = torch.where(goes_on, torch.where(usable, newton, middle), at)
    return high
