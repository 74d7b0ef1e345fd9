"""How alike any number of networks, inputs and layers are, from one pass over the images."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from clbench.probes.features import fastest_layout, with_example_axes
from clbench.probes.similarity.estimators import check_shuffles, find_estimator
from clbench.probes.similarity.matrix import Axis, Similarities, SimilarityMatrix
from clbench.probes.similarity.measures import find_measure
from clbench.probes.similarity.minibatches import MINIBATCH, shuffled
from clbench.probes.similarity.null import Shuffle, null_of
from clbench.probes.similarity.passes import Pass
from clbench.probes.similarity.representations import Representation, check_representations
from clbench.probes.similarity.scores import Pair, Scores
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.names import look_up
from clbench.schema.progress import OnProgress, not_shown

QUICK = {"float32": True, "float64": False}
"""Whether features may be reduced in single precision, by the name of the precision."""

_TRIED = 2  # images that show which memory format a network can take


def compare(
    representations: Sequence[Representation],
    pairs: Sequence[Pair] | None = None,
    *,
    device: torch.device,
    measure: str = "cka",
    estimator: str = "",
    precision: str = "float32",
    batch_size: int = MINIBATCH,
    layout: torch.memory_format | None = None,
    seed: int = 0,
    permutations: int = 0,
    classes: Int64[Tensor, " n"] | None = None,
    on_progress: OnProgress = not_shown,
) -> Similarities:
    """Return how alike every layer of one representation is to every layer of another.

    Every network sees every minibatch once. Features count with their spatial extent. For CKA,
    every layer is reduced to a Gram matrix while the network runs, and all pairs of layers of two
    representations are one matrix product.

    Args:
        representations: Networks on ``device``, each with its inputs; all of the same examples.
            They are left as found.
        pairs: Names of the representations of rows and columns; all pairs by default, each
            representation with itself included.
        device: Where the minibatches are moved to.
        measure: A name in ``MEASURES``.
        estimator: A name in ``ESTIMATORS``; by default the first that is for the measure. What is
            not averaged over minibatches is in float64.
        precision: "float32" is exact to 1e-6 for CKA, "float64" to rounding.
        batch_size: Examples that are seen at a time, at most. It is part of what an average over
            minibatches means, see ``MINIBATCH``; for a full set it is a matter of speed only.
        layout: Memory format of the images; by default the one that is likely to be fastest.
        seed: Of the order in which examples are divided into minibatches, and for networks that
            draw random numbers.
        permutations: Other orders of the examples of the columns, which tell what chance alone
            gives; 0 for none.
        classes: Of the examples; where given, there are as many orders within classes.
        on_progress: Told after every step how many are done, and how many there are.

    Returns:
        Values, NaN with a reason where features do not vary or are not finite, no tensor passes a
        layer, or there are fewer than four examples.

    Raises:
        BadValueError: Representations of different examples, or of equal names; or the estimator is
            not for the measure, or cannot shuffle.
        UnknownNameError: There is no such representation, measure, estimator or precision.
    """
    by_name = check_representations(representations)
    of = find_measure(measure)
    how = find_estimator(of, estimator)
    check_shuffles(how, permutations)
    quick = look_up(QUICK, precision, "precision")
    reduce = (quick and of.quick) or of.reduce
    wanted = list(dict.fromkeys(pairs or combinations_with_replacement(by_name, 2)))
    seen = {name: look_up(by_name, name, "representation") for pair in wanted for name in pair}
    networks = nn.ModuleList(one.network for one in seen.values())
    with left_as_found(networks, seed=seed), exact_arithmetic(), torch.no_grad():
        seen = {name: _with_axes(one, device) for name, one in seen.items()}
        layouts = {name: layout or _layout(one, device) for name, one in seen.items()}
        report = partial(on_progress, "comparing")
        order = shuffled(len(next(iter(seen.values())).inputs), seed)
        shuffles = _shuffles(permutations, seed, classes)
        run = Pass(seen, order, device, batch_size, reduce, layouts, report, shuffles)
        scores = how.estimate(of, run, wanted)

    def matrix(pair: Pair) -> SimilarityMatrix:
        rows, columns = (_axis(scores, seen[name]) for name in pair)
        stack = scores.stacks[pair].numpy()
        of_all, left_out = stack[0], stack[1:]
        return SimilarityMatrix(
            rows,
            columns,
            of_all,
            left_out,
            run.n,
            of.name,
            how.name,
            of.value_range,
            of.undefined,
            tuple(
                null_of(name, of_all, draws[pair].numpy(), of.value_range)
                for name, draws in scores.draws.items()
            ),
            scores.heaviest[pair].cpu().numpy() if pair in scores.heaviest else None,
        )

    return Similarities({pair: matrix(pair) for pair in wanted})


def _shuffles(n: int, seed: int, classes: Int64[Tensor, " n"] | None) -> tuple[Shuffle, ...]:
    if not n:
        return ()
    return Shuffle(n, seed), *(() if classes is None else (Shuffle(n, seed, classes),))


def _layout(one: Representation, device: torch.device) -> torch.memory_format:
    return fastest_layout(one.network, one.inputs.images[:_TRIED].to(device), device)


def _with_axes(one: Representation, device: torch.device) -> Representation:
    some = one.inputs.images[:_TRIED].to(device)
    return replace(one, layers=with_example_axes(one.network, one.layers, some))


def _axis(scores: Scores, one: Representation) -> Axis:
    return Axis(one.name, scores.layers[one.name], scores.reasons[one.name], one.inputs.against)
