"""The CKA columns: how alike a network sees clean images and their adversarial versions."""

import torch
from torch import nn

from clbench.data.stored import Images
from clbench.probes.interface import Probed
from clbench.probes.layers import find_layers, quarter_ends
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.probes.similarity.minibatches import MINIBATCH
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.probes.similarity.summaries import diagonal_mean
from clbench.schema.estimate import Estimate, undefined
from clbench.schema.records import NO_LAYER, similarity_columns


def clean_adversarial_columns(probed: Probed) -> list[Estimate]:
    """Return one estimate for each of ``CKA_COLUMNS``."""
    return clean_adversarial_similarity(
        probed.network, probed.clean.images, probed.adversarial, device=probed.device
    )


def clean_adversarial_similarity(
    network: nn.Module,
    clean: Images,
    adversarial: Images,
    *,
    device: torch.device,
    measure: str = "cka",
    batch_size: int = MINIBATCH,
) -> list[Estimate]:
    """Return how alike clean and adversarial features are, layer by layer: debiased linear CKA.

    Features are flattened with their spatial extent. ``cka_stageK`` (another measure has its own
    name there) is taken at the end of stage K; a network of more than four stages shows the ends of
    its four quarters. ``cka_mean`` is over all layers, every block included. Intervals are by
    jackknife over minibatches.

    Args:
        network: Where ``device`` is; left as found.
        clean: Images in [0, 1].
        adversarial: The same examples in the same order, attacked.
        device: Where the minibatches are moved to.
        measure: A name in ``MEASURES``.
        batch_size: Examples that are compared at a time, at most; see ``MINIBATCH``.

    Returns:
        One estimate for each of ``similarity_columns``, in [-1, 1] for CKA; NaN with its reason
        where a network has no such layer, features do not vary, or there are fewer than four
        examples.
    """
    layers, examples = find_layers(network), "the same"
    found = (
        compare(
            [
                Representation("clean", network, Inputs(clean, examples), layers),
                Representation("adversarial", network, Inputs(adversarial, examples), layers),
            ],
            [("clean", "adversarial")],
            device=device,
            measure=measure,
            precision="float64",
            batch_size=batch_size,
            layout=torch.contiguous_format,
        )
        .matrix("clean", "adversarial")
        .take(list(layers))
    )
    *columns, mean = similarity_columns(measure)
    shown = _shown(measure, list(layers))
    return [
        *(_column(found, column, shown.get(column, "")) for column in columns),
        found.estimate(mean, diagonal_mean),
    ]


def _shown(measure: str, layers: list[str]) -> dict[str, str]:
    """Return which layer each column shows, but for those of layers that the network lacks."""
    shown = {f"stage{k}": end for k, end in enumerate(quarter_ends(layers), start=1)}
    shown |= {name: name for name in ("stem", "pool", "logits") if name in layers}
    return {f"{measure}_{place}": layer for place, layer in shown.items()}


def _column(found: SimilarityMatrix, column: str, layer: str) -> Estimate:
    if not layer:
        return undefined(column, found.n, NO_LAYER)
    return found.entry(layer, layer, column)
