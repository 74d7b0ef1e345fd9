"""Whether two representations put the same pairs of examples near and far: the rank of distances.

Source:
    Kriegeskorte et al., 2008, "Representational similarity analysis" (here with Euclidean
    distances, and Spearman's correlation of those of all pairs).
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.similarity.rows import distances


def reduce(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n n"]:
    """Return the ranks of the distances, centred and of norm 1; zero on the diagonal."""
    apart = distances(features)
    one, other = torch.triu_indices(len(apart), len(apart), offset=1, device=apart.device)
    ranks = _mean_ranks(apart[one, other])
    ranks -= ranks.mean()
    table = torch.zeros_like(apart)
    table[one, other] = table[other, one] = ranks / ranks.norm() / 2**0.5
    return table


def correlation(x: Float64[Tensor, "n n"], y: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:
    """Return Spearman's correlation in [-1, 1]; NaN where all distances are equal."""
    return (x * y).sum()


def _mean_ranks(values: Float64[Tensor, " p"]) -> Float64[Tensor, " p"]:
    """Return the ranks of values, from 1; equal ones share the mean of theirs."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(dim=0).double()
    mean: Tensor = last - (counts - 1) / 2
    return mean[place]
