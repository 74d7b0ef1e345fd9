"""The estimators of CKA, and how each goes through the images."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.probes.features import flat_copy
from clbench.probes.similarity.full_set import (
    Place,
    Sums,
    Tiles,
    TileSums,
    biased,
    debiased,
    shifted,
)
from clbench.probes.similarity.hsic import Hsic, MinibatchSums, Pair
from clbench.probes.similarity.passes import Pass

MOST_GROUPS = 32
"""Groups of minibatches that are left out in turn, at most, so that memory is bounded."""

FULL_SET_GROUPS = 10
"""The same for a full set, where a group takes memory for every example."""

HELD_BYTES = 2**30
"""Features of a full set that are held at a time; with fewer, images are seen more often."""

Features = dict[str, dict[str, Float[Tensor, "_ _"]]]
"""Features of a minibatch by view and tap, one row per example."""


class Estimator(NamedTuple):
    """A way to estimate CKA from a pass over the images."""

    name: str
    meaning: str
    estimate: Callable[[Pass, Sequence[Pair]], Hsic]


def from_minibatches(run: Pass, pairs: Sequence[Pair]) -> Hsic:
    """Return debiased HSIC averaged over minibatches, seeing every image once.

    Features are gone as soon as their Gram matrices are made, and memory does not depend on the
    number of examples.
    """
    pieces = run.minibatches
    n_groups = min(MOST_GROUPS, len(pieces))
    sums = MinibatchSums(run.taps, pairs, n_groups, run.device)
    for b, piece in enumerate(pieces):
        group = b * n_groups // len(pieces)
        sums.add(run.see(piece, run.gram), piece.stop - piece.start, group)
        run.report(b + 1, len(pieces))
    return sums.result()


def from_full_set(run: Pass, pairs: Sequence[Pair], *, formula: Callable[[Sums], Tensor]) -> Hsic:
    """Return HSIC of all examples at once, in float64, tile by tile of the Gram matrices.

    As many features are held as fit into ``HELD_BYTES``, and one minibatch more; each time, all
    later images are seen once more, so networks must not draw random numbers. Memory also grows by
    a number for each example, tap and group.
    """
    pieces = run.minibatches
    n_groups = min(FULL_SET_GROUPS, len(pieces))
    places = [Place(piece, b * n_groups // len(pieces)) for b, piece in enumerate(pieces)]
    groups = [place.group for place in places for _ in range(run.n)[place.examples]]
    sums = TileSums(
        run.taps,
        pairs,
        groups=torch.tensor(groups),
        n_groups=n_groups,
        device=run.device,
        formula=formula,
    )
    origin = run.see(slice(0, 1), flat_copy)
    n_tiles = len(places) * (len(places) + 1) // 2
    for done, (tiles, one, other) in enumerate(_all_tiles(places, partial(_see, run, origin)), 1):
        sums.add(tiles, one, other)
        run.report(done, n_tiles)
    return sums.result()


ESTIMATORS: dict[str, Estimator] = {
    row.name: row
    for row in (
        Estimator(
            "debiased-minibatch",
            "debiased HSIC averaged over minibatches; every image is seen once",
            from_minibatches,
        ),
        Estimator(
            "debiased",
            "debiased HSIC of all examples at once; for up to 20,000 of them",
            partial(from_full_set, formula=debiased),
        ),
        Estimator(
            "biased",
            "biased HSIC of all examples at once, near 1 for wide features of few examples",
            partial(from_full_set, formula=biased),
        ),
    )
}
"""All estimators, the default one first."""


def _see(run: Pass, origin: Features, place: Place) -> Features:
    """Return the features of a minibatch, seen from those of one example."""
    seen = run.see(place.examples, flat_copy)
    return {
        view: {
            tap: shifted(x, origin[view][tap]) for tap, x in found.items() if tap in origin[view]
        }
        for view, found in seen.items()
    }


def _all_tiles(
    places: Sequence[Place], see: Callable[[Place], Features]
) -> Iterator[tuple[Tiles, Place, Place]]:
    """Yield the tiles of every minibatch with itself and with every later one."""
    while places:
        held = _hold(places, see)
        for b, other in enumerate(places):
            features = held[b] if b < len(held) else see(other)
            for one, of_one in zip(places[: b + 1], held, strict=False):
                yield _products(of_one, features), one, other
        places = places[len(held) :]


def _hold(places: Sequence[Place], see: Callable[[Place], Features]) -> list[Features]:
    """Return the features of the first minibatches, of as many as fit and of one at least."""
    held: list[Features] = []
    for place in places:
        held.append(see(place))
        size = sum(x.nbytes for found in held[0].values() for x in found.values())
        if size * (len(held) + 1) > HELD_BYTES:
            break
    return held


def _products(one: Features, other: Features) -> Tiles:
    return {
        view: {tap: x @ other[view][tap].T for tap, x in found.items() if tap in other[view]}
        for view, found in one.items()
    }
