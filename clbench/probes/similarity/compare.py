"""CKA of any number of networks, inputs and taps, from one pass over the images."""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import torch
from torch import nn

from clbench.probes.features import fastest_layout
from clbench.probes.similarity.cka import MINIBATCH
from clbench.probes.similarity.estimators import ESTIMATORS
from clbench.probes.similarity.gram import PRECISIONS
from clbench.probes.similarity.hsic import Hsic, Pair
from clbench.probes.similarity.matrix import Axis, Block, Similarities
from clbench.probes.similarity.passes import Pass
from clbench.probes.similarity.representations import View, check_views
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.names import look_up

DEFAULT_ESTIMATOR = "debiased-minibatch"

_TRIED = 2  # images that show which memory format a network can take


def compare(
    views: Sequence[View],
    pairs: Sequence[Pair] | None = None,
    *,
    device: torch.device,
    estimator: str = DEFAULT_ESTIMATOR,
    precision: str = "float32",
    batch_size: int = MINIBATCH,
    layout: torch.memory_format | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Similarities:
    """Return the CKA of every tap of one view with every tap of another, for all wanted pairs.

    Every network sees every minibatch once, every tap is reduced to a Gram matrix while the network
    runs, and all pairs of taps of two views are one matrix product. Features count with their
    spatial extent.

    Args:
        views: Networks on ``device``, each with its inputs; all of the same examples. They are left
            as found.
        pairs: Names of the views of rows and columns; all pairs by default, each view with itself
            included.
        device: Where the minibatches are moved to.
        estimator: A name in ``ESTIMATORS``. What is not averaged over minibatches is in float64.
        precision: A name in ``PRECISIONS``: "float32" is exact to 1e-6, "float64" to rounding.
        batch_size: Examples that are seen at a time, at most. It is part of what an average over
            minibatches means, see ``MINIBATCH``; for a full set it is a matter of speed only.
        layout: Memory format of the images; by default the one that is likely to be fastest.
        seed: For networks that draw random numbers.
        on_progress: Told after every step how many are done, and how many there are.

    Returns:
        Values in [-1, 1]; NaN with a reason where features do not vary or are not finite, no tensor
        passes a tap, or there are fewer than four examples.

    Raises:
        BadValueError: Views of different examples, or of equal names.
        UnknownNameError: There is no such view, estimator or precision.
    """
    by_name = check_views(views)
    estimate = look_up(ESTIMATORS, estimator, "estimator").estimate
    gram = look_up(PRECISIONS, precision, "precision")
    wanted = list(dict.fromkeys(pairs or combinations_with_replacement(by_name, 2)))
    seen = {name: look_up(by_name, name, "view") for pair in wanted for name in pair}
    networks = nn.ModuleList(view.network for view in seen.values())
    with left_as_found(networks, seed=seed), exact_arithmetic(), torch.no_grad():
        layouts = {name: layout or _layout(view, device) for name, view in seen.items()}
        run = Pass(seen, device, batch_size, gram, layouts, on_progress)
        hsic = estimate(run, wanted)
    return Similarities({pair: _block(hsic, pair, run, estimator) for pair in wanted})


def _layout(view: View, device: torch.device) -> torch.memory_format:
    return fastest_layout(view.network, view.inputs.images[:_TRIED].to(device), device)


def _block(hsic: Hsic, pair: Pair, run: Pass, estimator: str) -> Block:
    rows, columns = (
        Axis(name, hsic.taps[name], hsic.reasons[name], run.views[name].inputs.against)
        for name in pair
    )
    stack = hsic.cka(pair).numpy()
    return Block(rows, columns, stack[0], stack[1:], run.n, estimator)
