"""How far two clouds of examples are apart when one is turned and scaled to fit the other.

Both distances are metrics: of features that are centred and of Frobenius norm 1, with s the sum of
the singular values of x^T y, they are sqrt(2 - 2 s) (orthogonal Procrustes) and arccos(s) (the
angle, on the sphere of shapes).

Sources:
    Schoenemann, 1966, "A generalized solution of the orthogonal Procrustes problem"; Ding et al.,
    2021, arXiv:2108.01661 (its distance is the square of this one); Williams et al., 2021,
    arXiv:2110.14739 (the angle).
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.similarity.rows import centred_rows


def reduce(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n k"]:
    """Return centred features of norm 1; not a number where they do not vary."""
    rows = centred_rows(features)
    return rows.div(rows.norm())


def procrustes(x: Float64[Tensor, "n k"], y: Float64[Tensor, "n l"]) -> Float64[Tensor, ""]:
    """Return the distance in [0, sqrt 2] that no rotation of either side makes smaller."""
    return (2 - 2 * _overlap(x, y)).sqrt()


def angle(x: Float64[Tensor, "n k"], y: Float64[Tensor, "n l"]) -> Float64[Tensor, ""]:
    """Return the angle in [0, pi / 2] that no rotation of either side makes smaller."""
    return torch.arccos(_overlap(x, y))


def _overlap(x: Float64[Tensor, "n k"], y: Float64[Tensor, "n l"]) -> Float64[Tensor, ""]:
    product = x.T @ y
    if not product.isfinite().all():
        return product.new_tensor(torch.nan)
    overlap: Tensor = torch.linalg.svdvals(product).sum()
    return overlap.clamp(max=1)
