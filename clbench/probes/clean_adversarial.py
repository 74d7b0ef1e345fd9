"""The CKA columns: how alike a network sees clean images and their adversarial versions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.probes.interface import Probed
from clbench.probes.layers import MOST_STAGES, find_taps, quarter_ends
from clbench.probes.similarity.cka import MINIBATCH
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.matrix import Block
from clbench.probes.similarity.representations import Inputs, View
from clbench.probes.similarity.summaries import diagonal_mean
from clbench.schema.estimate import Estimate, undefined

COLUMNS = (
    "cka_stem",
    *(f"cka_stage{k}" for k in range(1, MOST_STAGES + 1)),
    "cka_pool",
    "cka_logits",
    "cka_mean",
)


def clean_adversarial_columns(probed: Probed) -> list[Estimate]:
    """Return one measure for each of ``COLUMNS``; see ``clean_adversarial_cka``."""
    return clean_adversarial_cka(
        probed.network, probed.clean.images, probed.adversarial, device=probed.device
    )


def clean_adversarial_cka(
    network: nn.Module,
    clean: Float[Tensor, "n c h w"],
    adversarial: Float[Tensor, "n c h w"],
    *,
    device: torch.device,
    batch_size: int = MINIBATCH,
) -> list[Estimate]:
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
    taps, examples = find_taps(network), "the same"
    found = (
        compare(
            [
                View("clean", network, Inputs(clean, examples), taps),
                View("adversarial", network, Inputs(adversarial, examples), taps),
            ],
            [("clean", "adversarial")],
            device=device,
            precision="float64",
            batch_size=batch_size,
            layout=torch.contiguous_format,
        )
        .block("clean", "adversarial")
        .take(list(taps))
    )
    columns = [_column(found, column, tap) for column, tap in _columns(list(taps)).items()]
    return [*columns, found.measure("cka_mean", diagonal_mean)]


def _columns(taps: list[str]) -> dict[str, str]:
    """Return which tap each column but the mean shows; "" where the network has none."""
    shown = {f"cka_stage{k}": end for k, end in enumerate(quarter_ends(taps), start=1)}
    shown |= {f"cka_{name}": name for name in ("stem", "pool", "logits") if name in taps}
    return {column: shown.get(column, "") for column in COLUMNS[:-1]}


def _column(found: Block, column: str, tap: str) -> Estimate:
    if not tap:
        return undefined(column, found.n, "the network has no such tap")
    return found.entry(tap, tap, column)
