"""Which other examples are nearest to each one: how many of them two representations share.

Near is what has a small angle, seen from the origin. An example is no neighbour of its own, and its
duplicates are. Of equally near ones, those with the lower index count.

Sources:
    Huh et al., 2024, arXiv:2405.07987 (mutual nearest neighbours); Klabunde et al., 2025,
    arXiv:2305.06329 (Jaccard similarity of them).
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from clbench.probes.similarity.gram import as_rows

NEIGHBOURS = 10
"""How many nearest examples count, the usual number; all others where there are fewer."""


def reduce(features: Float[Tensor, " n *shape"]) -> Bool[Tensor, "n n"]:
    """Return which examples (columns) are among the nearest of each (rows)."""
    rows = torch.nn.functional.normalize(as_rows(features).double())
    near = (rows @ rows.T).fill_diagonal_(-torch.inf)
    nearest = near.sort(dim=1, descending=True, stable=True).indices[:, :NEIGHBOURS]
    nearest = nearest[:, : len(rows) - 1]
    return torch.zeros_like(near, dtype=torch.bool).scatter_(1, nearest, True)


def shared(x: Bool[Tensor, "n n"], y: Bool[Tensor, "n n"]) -> Float64[Tensor, ""]:
    """Return the share of nearest neighbours in common, in [0, 1]."""
    return (x & y).sum().double() / x.sum()


def jaccard(x: Bool[Tensor, "n n"], y: Bool[Tensor, "n n"]) -> Float64[Tensor, ""]:
    """Return the neighbours in common over those of either, in the mean; in [0, 1]."""
    return ((x & y).sum(dim=1).double() / (x | y).sum(dim=1)).mean()
