"""The nearest point of a hyperplane within the pixel range, in each norm."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.schema.names import NormName

_MOST_ROUNDS = 30
_NEAR = 1e-6
"""A row is at the hyperplane when this share of the way is left."""

_SMALL = 1e-8
"""In L2, pixels of a smaller slope stay where they are."""

Moves = Callable[[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, " n"]], Tensor]
"""From slopes, the room of each pixel and the way to go to how far each pixel moves."""


def step_to_hyperplane(
    points: Float[Tensor, "n c h w"],
    normal: Float[Tensor, "n c h w"],
    gap: Float[Tensor, " n"],
    norm: NormName,
) -> Float[Tensor, "n c h w"]:
    """Return the shortest step onto a hyperplane that stays in [0, 1].

    Args:
        points: Where the step starts, in [0, 1].
        normal: Of the hyperplane.
        gap: By how much the product of step and normal must be; where the pixel range does not
            allow that, the step goes as far as it can.
        norm: In which the step is shortest.
    """
    flat, slope = points.flatten(1), normal.flatten(1) * gap.sign()[:, None]
    room = torch.where(slope > 0, 1 - flat, flat)
    moves = _MOVES[norm](slope.abs(), room, gap.abs())
    return (slope.sign() * moves).reshape(points.shape)


def _together(
    slope: Float[Tensor, "n d"], room: Float[Tensor, "n d"], way: Float[Tensor, " n"]
) -> Float[Tensor, "n d"]:
    return _climb(slope, torch.ones_like(way)[:, None], room, way)


def _by_slope(
    slope: Float[Tensor, "n d"], room: Float[Tensor, "n d"], way: Float[Tensor, " n"]
) -> Float[Tensor, "n d"]:
    slope = slope.where(slope >= _SMALL, 0)
    return _climb(slope, slope, room, way)


def _steepest_first(
    slope: Float[Tensor, "n d"], room: Float[Tensor, "n d"], way: Float[Tensor, " n"]
) -> Float[Tensor, "n d"]:
    order = slope.argsort(dim=1, descending=True)
    slopes, rooms = slope.gather(1, order), room.gather(1, order)
    gained = slopes * rooms
    before = gained.cumsum(dim=1) - gained
    left = (way[:, None] - before).clamp_min(0)
    moves = torch.minimum(rooms, left / slopes.clamp_min(torch.finfo(slopes.dtype).tiny))
    return torch.zeros_like(slope).scatter(1, order, moves.where(slopes > 0, 0))


def _climb(
    slope: Float[Tensor, "n d"],
    speed: Float[Tensor, "n _"],
    room: Float[Tensor, "n d"],
    way: Float[Tensor, " n"],
) -> Float[Tensor, "n d"]:
    """Return how far pixels move that start together, each with its speed and up to its room.

    What they gain is concave in the time, so Newton's steps never overshoot, and each round at
    which a row is not there yet stops further pixels. A row that is there stays as it is, so that
    it does not matter how many rounds others need. Where the way is too long, all pixels stop.
    """
    way, gains = way[:, None], slope * speed
    time, moves = torch.zeros_like(way), torch.zeros_like(slope)
    for _ in range(_MOST_ROUNDS):
        missing = way - (slope * moves).sum(dim=1, keepdim=True)
        gain = (gains * (moves < room)).sum(dim=1, keepdim=True)
        goes_on = (missing > _NEAR * way) & (gain > 0)
        if not goes_on.any():
            break
        time = torch.where(goes_on, time + missing / gain, time)
        moves = torch.minimum(time * speed, room)
    return moves


_MOVES: dict[NormName, Moves] = {"Linf": _together, "L2": _by_slope, "L1": _steepest_first}
