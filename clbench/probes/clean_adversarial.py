"""The CKA columns: how alike a network sees clean images and their adversarial versions."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.measure import Measure, undefined
from clbench.probes.cka import FEWEST, CkaAccumulator, centred_gram, minibatches, summarise
from clbench.probes.features import capture, find_taps, stage_ends, undisturbed

MINIBATCH = 64
"""Examples that are compared at a time, at most. The value depends on it a little, as it depends
on the seed, so it is part of what the columns mean and no matter of speed."""

_STAGES = 4

COLUMNS = (
    "cka_stem",
    *(f"cka_stage{k}" for k in range(1, _STAGES + 1)),
    "cka_pool",
    "cka_logits",
    "cka_mean",
)


def clean_adversarial_cka(
    network: nn.Module,
    clean: Float[Tensor, "n c h w"],
    adversarial: Float[Tensor, "n c h w"],
    *,
    device: torch.device,
    batch_size: int = MINIBATCH,
) -> list[Measure]:
    """Return debiased linear CKA between clean and adversarial features, tap by tap.

    Features are flattened with their spatial extent. ``cka_stageK`` is taken at the end of stage K;
    a network of more than four stages shows the ends of its four quarters. ``cka_mean`` is over all
    taps, every block included. Intervals are by jackknife over minibatches.

    Args:
        network: Where ``device`` is; left as found.
        clean: Images in [0, 1].
        adversarial: The same examples in the same order, attacked.
        device: Where the minibatches are moved to.
        batch_size: Examples that are compared at a time, at most; see ``MINIBATCH``.

    Returns:
        One measure in [-1, 1] for each of ``COLUMNS``; NaN with its reason where a network has no
        such tap, features do not vary, or there are fewer than four examples.
    """
    taps = find_taps(network)
    pairs = {name: CkaAccumulator() for name in taps}
    with (
        undisturbed(network, device),
        capture(network, taps, keep=centred_gram) as grams_of,
    ):
        for piece in minibatches(len(clean), batch_size):
            grams = grams_of(clean[piece].to(device))
            attacked = grams_of(adversarial[piece].to(device))
            for name in grams.keys() & attacked.keys() & pairs.keys():
                pairs[name].update_grams(grams[name], attacked[name])
    n = len(clean)
    columns = [_column(column, tap, pairs, n) for column, tap in _columns(list(taps)).items()]
    return [*columns, _mean("cka_mean", pairs, n)]


def _columns(taps: list[str]) -> dict[str, str]:
    """Return which tap each column but the mean shows; "" where the network has none."""
    ends = stage_ends(taps)
    if len(ends) > _STAGES:
        ends = [ends[math.ceil(len(ends) * k / _STAGES) - 1] for k in range(1, _STAGES + 1)]
    shown = {f"cka_stage{k}": end for k, end in enumerate(ends, start=1)}
    shown |= {f"cka_{name}": name for name in ("stem", "pool", "logits") if name in taps}
    return {column: shown.get(column, "") for column in COLUMNS[:-1]}


def _column(column: str, tap: str, pairs: dict[str, CkaAccumulator], n: int) -> Measure:
    if not tap:
        return undefined(column, n, "the network has no such tap")
    pair = pairs[tap]
    return summarise(column, pair.value(), pair.leave_one_out(), n, _reason(pair, n))


def _mean(column: str, pairs: dict[str, CkaAccumulator], n: int) -> Measure:
    for tap, pair in pairs.items():
        if reason := _reason(pair, n):
            return undefined(column, n, f"{tap}: {reason}")
    values = [pair.value() for pair in pairs.values()]
    left_out = zip(*(pair.leave_one_out() for pair in pairs.values()), strict=True)
    return summarise(
        column, _average(values), [_average(list(without_one)) for without_one in left_out], n
    )


def _average(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _reason(pair: CkaAccumulator, n: int) -> str:
    """Return why a tap's CKA is undefined, "" where it is defined."""
    if pair.n == 0 and n >= FEWEST:
        return "no tensor with one row per example passes there"
    return pair.why_undefined()
