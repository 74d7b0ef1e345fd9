"""How a measure is had from finite examples: the estimators, and what each is for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.probes.features import flat_copy
from clbench.probes.similarity.all_features import from_all_features
from clbench.probes.similarity.full_set import (
    Place,
    Sums,
    Tiles,
    TileSums,
    biased,
    debiased,
    shifted,
)
from clbench.probes.similarity.hsic import MinibatchSums
from clbench.probes.similarity.measures import CKA, SimilarityMeasure
from clbench.probes.similarity.passes import Pass
from clbench.probes.similarity.permutations import Triangles
from clbench.probes.similarity.scores import Pair, Scores
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up

MOST_GROUPS = 32
"""Groups of minibatches that are left out in turn, at most, so that memory is bounded."""

FULL_SET_GROUPS = 10
"""The same for a full set, where a group takes memory for every example."""

HELD_BYTES = 2**30
"""Features of a full set that are held at a time; with fewer, images are seen more often."""

Features = dict[str, dict[str, Float[Tensor, "_ _"]]]
"""Features of a minibatch by representation and layer, one row per example."""


@dataclass(frozen=True)
class Estimator:
    """How a measure is had from finite examples.

    ``applies`` tells which measures it is for; ``shuffles`` whether it can put examples into other
    orders, as a permutation test needs it, and ``averages`` whether that is cheap, as it averages
    over minibatches; ``estimate`` takes a pass over the images, and the
    pairs of representations that are wanted.
    """

    name: str
    meaning: str
    applies: Callable[[SimilarityMeasure], bool]
    estimate: Callable[[SimilarityMeasure, Pass, Sequence[Pair]], Scores]
    shuffles: bool
    averages: bool = False


def from_minibatches(_: SimilarityMeasure, run: Pass, pairs: Sequence[Pair]) -> Scores:
    """Return the cosine of reductions, their products summed over minibatches.

    Every image is seen once. Features are gone as soon as they are reduced, and memory does not
    depend on the number of examples; for other orders of them, Gram matrices are kept.
    """
    pieces = run.minibatches
    n_groups = min(MOST_GROUPS, len(pieces))
    sums = MinibatchSums(run.layers, pairs, n_groups, run.device)
    kept = Triangles()
    for b, piece in enumerate(pieces):
        group = b * n_groups // len(pieces)
        grams = sums.add(run.see(piece, run.reduce), piece.stop - piece.start, group)
        if run.shuffles:
            kept.add(grams, run.order[piece])
        run.report(b + 1, len(pieces))
    scores = sums.result().scores()
    if not run.shuffles:
        return scores
    return replace(
        scores,
        draws={shuffle.name: kept.draws(pairs, shuffle) for shuffle in run.shuffles},
        heaviest={(a, b): kept.heaviest(a, b) for a, b in pairs if run.same_layers(a, b)},
    )


def from_full_set(
    _: SimilarityMeasure, run: Pass, pairs: Sequence[Pair], *, formula: Callable[[Sums], Tensor]
) -> Scores:
    """Return linear CKA of all examples at once, in float64, tile by tile of the Gram matrices.

    As many features are held as fit into ``HELD_BYTES``, and one minibatch more; each time, all
    later images are seen once more, so networks must not draw random numbers. Memory also grows by
    a number for each example, layer and group.
    """
    pieces = run.minibatches
    n_groups = min(FULL_SET_GROUPS, len(pieces))
    places = [Place(piece, b * n_groups // len(pieces)) for b, piece in enumerate(pieces)]
    groups = [place.group for place in places for _ in range(run.n)[place.examples]]
    sums = TileSums(
        run.layers,
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
    return sums.result().scores()


def _accumulates(measure: SimilarityMeasure) -> bool:
    return measure.accumulates


def _is_linear_cka(measure: SimilarityMeasure) -> bool:
    return (
        measure is CKA
    )  # tiles hold inner products of features, whatever a measure reduces them to


def _needs_all(measure: SimilarityMeasure) -> bool:
    return not measure.accumulates


ESTIMATORS: dict[str, Estimator] = {
    row.name: row
    for row in (
        Estimator(
            "debiased-minibatch",
            "debiased, averaged over minibatches; every image is seen once",
            _accumulates,
            from_minibatches,
            shuffles=True,
            averages=True,
        ),
        Estimator(
            "debiased",
            "debiased, of all examples at once; for up to 20,000 of them",
            _is_linear_cka,
            partial(from_full_set, formula=debiased),
            shuffles=False,
        ),
        Estimator(
            "biased",
            "biased, of all examples at once; near 1 for wide features of few examples",
            _is_linear_cka,
            partial(from_full_set, formula=biased),
            shuffles=False,
        ),
        Estimator(
            "full-set",
            "the measure itself of all examples at once; their features are held",
            _needs_all,
            from_all_features,
            shuffles=True,
        ),
    )
}
"""All estimators; the first that applies to a measure is its usual one."""


def estimators_of(measure: SimilarityMeasure) -> list[Estimator]:
    """Return the estimators that are for a measure, the usual one first."""
    return [row for row in ESTIMATORS.values() if row.applies(measure)]


def check_shuffles(estimator: Estimator, permutations: int) -> None:
    """Check that examples can be put into as many other orders.

    Raises:
        BadValueError: They cannot, and some are asked for.
    """
    if permutations and not estimator.shuffles:
        able = " or ".join(row.name for row in ESTIMATORS.values() if row.shuffles)
        raise BadValueError(
            f"permutations must be 0 for the estimator {estimator.name!r}, got {permutations}; "
            f"choose {able}"
        )


def find_estimator(measure: SimilarityMeasure, name: str = "") -> Estimator:
    """Return the estimator called ``name``, or the measure's usual one.

    Raises:
        UnknownNameError: There is no such estimator.
        BadValueError: It is not for this measure.
    """
    fitting = estimators_of(measure)
    if not name:
        return fitting[0]
    found = look_up(ESTIMATORS, name, "estimator")
    if found not in fitting:
        raise BadValueError(
            f"estimator {name!r} is not for {measure.name}; "
            f"choose {' or '.join(row.name for row in fitting)}"
        )
    return found


def _see(run: Pass, origin: Features, place: Place) -> Features:
    """Return the features of a minibatch, seen from those of one example."""
    seen = run.see(place.examples, flat_copy)
    return {
        name: {
            layer: shifted(x, origin[name][layer])
            for layer, x in found.items()
            if layer in origin[name]
        }
        for name, found in seen.items()
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
        name: {
            layer: x @ other[name][layer].T for layer, x in found.items() if layer in other[name]
        }
        for name, found in one.items()
    }
