"""A similarity measure: the correlation of the distances between examples.

Source: Kriegeskorte et al., 2008, Frontiers in Systems Neuroscience 2:4 (representational
similarity analysis), with Pearson's correlation.
"""

import torch
from torch import Tensor

from clbench.probes.similarity.measures import SimilarityMeasure


def reduce(features: Tensor) -> Tensor:
    """Return the Euclidean distances [n, n] between examples."""
    flat = features.flatten(1).double()
    return torch.cdist(flat, flat)


def score(one: Tensor, other: Tensor) -> Tensor:
    """Return the correlation of the distances of all pairs, NaN where one side has none."""
    rows, columns = torch.triu_indices(len(one), len(one), offset=1)
    return torch.corrcoef(torch.stack([one[rows, columns], other[rows, columns]]))[0, 1]


def permute(distances: Tensor, order: Tensor) -> Tensor:
    """Return the distances of the same examples in another order."""
    return distances[order][:, order]


DISTANCES = SimilarityMeasure(
    name="distances",
    label="correlation of distances",
    meaning="Pearson's correlation of the Euclidean distances between examples",
    value_range=(-1.0, 1.0),
    invariant_to=frozenset({"permutation", "orthogonal", "scale", "shift"}),
    reduce=reduce,
    score=score,
    permute=permute,
    accumulates=False,
)
