"""How much of the place in the image the features of a probe keep."""

import math
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

WIDEST = 4096
"""Features that a probe is fitted on, at most: on 10,000 images these take 0.3 GB in double
precision, and one step of the solver less than a second. Wider ones are averaged over a grid."""

Positions = tuple[int, ...]
"""Height and width of a feature map, the number of tokens, or nothing."""

_MAP, _TOKENS = 4, 3  # axes of [n, channels, height, width], and of [n, tokens, channels]


class Pooling(NamedTuple):
    """A way to deal with the positions of features.

    ``grid`` takes the number of channels and the positions, and returns how many positions are
    left, along each axis.
    """

    name: str
    meaning: str
    grid: Callable[[int, Positions], Positions]


def _single(_channels: int, positions: Positions) -> Positions:
    return (1,) * len(positions)


def _all_that_fit(channels: int, positions: Positions) -> Positions:
    if channels * math.prod(positions) <= WIDEST:
        return positions
    room = max(1, WIDEST // channels)
    side = math.isqrt(room) if len(positions) > 1 else room
    return tuple(min(side, size) for size in positions)


DEFAULT_POOLING = "pooled"

POOLINGS: dict[str, Pooling] = {
    row.name: row
    for row in (
        Pooling(DEFAULT_POOLING, "averaged over all positions", _single),
        Pooling(
            "spatial",
            f"every position, or a grid of averages where that is over {WIDEST} features",
            _all_that_fit,
        ),
    )
}
"""All poolings, by name."""


def positions_of(features: Float[Tensor, " n *shape"]) -> Positions:
    """Return the positions of features [n, channels, height, width] or [n, tokens, channels].

    Nothing tells features of another order from these, so their axes are taken for the same.
    """
    if features.ndim == _MAP:
        return tuple(features.shape[2:])
    return (features.shape[1],) if features.ndim == _TOKENS else ()


def grid_of(pooling: Pooling, features: Float[Tensor, " n *shape"]) -> Positions:
    """Return over which grid ``pooling`` averages such features."""
    positions = positions_of(features)
    channels = math.prod(features.shape[1:]) // math.prod(positions)
    return pooling.grid(channels, positions)


class AveragedOver(nn.Module):
    """Features averaged over a grid of positions, as one row per example."""

    def __init__(self, grid: Positions) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, features: Float[Tensor, " n *shape"]) -> Float[Tensor, "n d"]:
        """Return the averages, those of one channel after the other."""
        if positions_of(features) != self.grid:
            if features.ndim == _MAP:
                height, width = self.grid
                features = functional.adaptive_avg_pool2d(features, (height, width))
            else:
                features = functional.adaptive_avg_pool1d(features.mT, self.grid[0])
        return features.reshape(len(features), -1)
