"""Any measure on the full set: every layer's features are held, and reduced as a whole."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.features import flat_copy
from clbench.probes.similarity.gram import FEWEST, varies
from clbench.probes.similarity.measures import SimilarityMeasure
from clbench.probes.similarity.null import Shuffle
from clbench.probes.similarity.passes import Pass
from clbench.probes.similarity.scores import (
    CONSTANT,
    NO_TENSOR,
    NOT_FINITE,
    TOO_FEW,
    Pair,
    Scores,
)

MOST_GROUPS = 10
"""Groups of examples that are left out in turn, at most: each takes a reduction of every layer."""

Held = Mapping[str, Mapping[str, Float[Tensor, "n d"]]]
"""Features of all examples by representation and layer."""

Reductions = Mapping[str, Sequence[Tensor | None]]
"""What they are reduced to, by representation and in the order of its layers; None has a reason."""


def from_all_features(measure: SimilarityMeasure, run: Pass, pairs: Sequence[Pair]) -> Scores:
    """Return a measure's scores of all examples, and of all but each group.

    The features of all examples at all layers must fit into memory.
    """
    pieces = run.minibatches
    n_groups = min(MOST_GROUPS, len(pieces))
    steps = len(pieces) + n_groups + 1
    held, layers = _hold(run, steps)
    reasons = {
        name: tuple(_reason(held[name].get(layer), run.n) for layer in of_one)
        for name, of_one in layers.items()
    }
    groups = torch.tensor(
        [b * n_groups // len(pieces) for b, piece in enumerate(pieces) for _ in range(run.n)[piece]]
    )

    def reduced(kept: Tensor) -> Reductions:
        return {
            name: [
                None if reason else run.reduce(held[name][layer][kept])
                for layer, reason in zip(of_one, reasons[name], strict=True)
            ]
            for name, of_one in layers.items()
        }

    whole = reduced((groups >= 0).to(run.device))
    stacks = {(a, b): [_scores(measure, whole[a], whole[b])] for a, b in pairs}
    for left_out in range(n_groups if n_groups > 1 else 0):
        part = reduced((groups != left_out).to(run.device))
        for a, b in pairs:
            stacks[a, b].append(_scores(measure, part[a], part[b]))
        run.report(len(pieces) + left_out + 2, steps)
    draws = {shuffle.name: _draws(measure, whole, pairs, shuffle, run) for shuffle in run.shuffles}
    found = {pair: torch.stack(stack) for pair, stack in stacks.items()}
    return Scores(layers, reasons, found, draws)


def _hold(run: Pass, steps: int) -> tuple[Held, dict[str, tuple[str, ...]]]:
    """Return the features of all examples, and the names of all layers in order of execution."""
    seen = []
    for done, piece in enumerate(run.minibatches, start=1):
        seen.append(run.see(piece, flat_copy))
        run.report(done, steps)
    layers = {
        name: tuple(dict.fromkeys((*seen[0][name], *wanted))) for name, wanted in run.layers.items()
    }
    held = {
        name: {
            layer: torch.cat([one[name][layer] for one in seen])
            for layer in of_one
            if all(layer in one[name] for one in seen)
        }
        for name, of_one in layers.items()
    }
    return held, layers


def _draws(
    measure: SimilarityMeasure,
    reduced: Reductions,
    pairs: Sequence[Pair],
    shuffle: Shuffle,
    run: Pass,
) -> dict[Pair, Float64[Tensor, "k r c"]]:
    """Return the scores of all pairs with the examples of the columns in other orders."""
    stacks: dict[Pair, list[Tensor]] = {pair: [] for pair in pairs}
    for order in shuffle.orders(run.order):
        moved = {
            name: [
                None if one is None else measure.permute(one, order.to(one.device))
                for one in reduced[name]
            ]
            for name in dict.fromkeys(b for _, b in pairs)
        }
        for a, b in pairs:
            stacks[a, b].append(_scores(measure, reduced[a], moved[b]))
    return {pair: torch.stack(stack) for pair, stack in stacks.items()}


def _scores(
    measure: SimilarityMeasure, rows: Sequence[Tensor | None], columns: Sequence[Tensor | None]
) -> Float64[Tensor, "r c"]:
    values = [
        [math.nan if a is None or b is None else float(measure.score(a, b)) for b in columns]
        for a in rows
    ]
    return torch.tensor(values, dtype=torch.float64)


def _reason(features: Float[Tensor, "n d"] | None, n: int) -> str:
    """Return why nothing about a layer is defined, or ""."""
    if features is None:
        return NO_TENSOR
    if n < FEWEST:
        return TOO_FEW
    if not features.isfinite().all():
        return NOT_FINITE
    return "" if varies(features).any() else CONSTANT
