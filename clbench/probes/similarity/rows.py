"""Features as one row per example in double precision, as measures of all examples take them."""

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from clbench.probes.similarity.gram import as_rows, varies


def centred_rows(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n k"]:
    """Return centred features in at most ``n`` dimensions, up to a rotation of their axes.

    Nothing that a rotation leaves alone is changed: of wide features, the triangle of their QR
    decomposition says everything. A feature that varies by no more than rounding is zero.
    """
    rows = as_rows(features)
    centred = rows.double() - rows.mean(dim=0, dtype=torch.float64)
    centred *= varies(rows)
    if rows.shape[1] <= len(rows):
        return centred
    triangle: Tensor = torch.linalg.qr(centred.T, mode="r").R
    return triangle.T


def distances(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n n"]:
    """Return the Euclidean distance of every example to every other one; zero on the diagonal."""
    rows = centred_rows(features)
    # no matrix product: it would take the digits of near ones
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def in_another_order(rows: Float[Tensor, "n k"], order: Tensor) -> Float[Tensor, "n k"]:
    """Return the rows of the same examples in another order."""
    return rows[order]


def both_in_another_order(table: Shaped[Tensor, "n n"], order: Tensor) -> Shaped[Tensor, "n n"]:
    """Return a table of the same examples by the same examples, in another order."""
    return table[order][:, order]
