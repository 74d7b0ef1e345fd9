"""Canonical correlations of two representations, averaged in two ways.

With as many directions as there are examples, any two representations correlate perfectly. So the
value is undefined where both together have that many: more examples help, or a measure that does
not count every direction alike.

Sources:
    Hotelling, 1936, "Relations between two sets of variates"; Raghu et al., 2017, arXiv:1706.05806
    (SVCCA); Morcos et al., 2018, arXiv:1806.05759 (PWCCA).
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.similarity.gram import as_rows, varies
from clbench.probes.similarity.rows import centred_rows

VARIANCE = 0.99
"""The share of the variance that the directions kept by SVCCA hold."""

UNDEFINED = "both together have as many directions as there are examples"


def main_directions(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n k"]:
    """Return where examples lie along the directions that hold ``VARIANCE`` of the variance.

    Each of the first ``k`` principal components has length 1.
    """
    basis, lengths = _principal(centred_rows(features))
    held = lengths.square().cumsum(dim=0)
    kept = int((held < VARIANCE * held[-1]).sum()) + 1
    return basis[:, :kept]


def mean_correlation(x: Float64[Tensor, "n k"], y: Float64[Tensor, "n l"]) -> Float64[Tensor, ""]:
    """Return the mean canonical correlation of two bases in [0, 1]; NaN where undefined."""
    if not _defined(x, y):
        return x.new_tensor(torch.nan)
    correlations: Tensor = torch.linalg.svdvals(x.T @ y)
    return correlations.mean()


def neurons(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n d"]:
    """Return centred features, those that vary: the weights of PWCCA are of neurons."""
    rows = as_rows(features)
    rows = rows[:, varies(rows)].double()
    return rows - rows.mean(dim=0)


def weighted_correlation(
    x: Float64[Tensor, "n d"], y: Float64[Tensor, "n e"]
) -> Float64[Tensor, ""]:
    """Return the mean in [0, 1] by how much each direction accounts for neurons of ``x``."""
    x_basis, y_basis = _basis(x), _basis(y)
    if not _defined(x_basis, y_basis):
        return x.new_tensor(torch.nan)
    turned, correlations, _ = torch.linalg.svd(x_basis.T @ y_basis, full_matrices=False)
    weights = (turned.T @ (x_basis.T @ x)).abs().sum(dim=1)
    mean: Tensor = (weights * correlations).sum() / weights.sum()
    return mean


def _principal(x: Float64[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
    """Return where examples lie along each principal component, and how long these are."""
    basis, lengths, _ = torch.linalg.svd(x, full_matrices=False)
    return basis, lengths


def _basis(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "n k"]:
    basis, lengths = _principal(x)
    rounding = max(x.shape) * torch.finfo(x.dtype).eps
    return basis[:, lengths > rounding * lengths[:1]]


def _defined(x: Float64[Tensor, "n k"], y: Float64[Tensor, "n l"]) -> bool:
    return x.shape[1] + y.shape[1] < len(x)
