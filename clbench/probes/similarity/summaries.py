"""What is said about a whole matrix of CKA: pure functions from a matrix to a number.

Rows and columns are layers in the order of execution. ``SimilarityMatrix.estimate`` gives each of
them an interval. An undefined element makes every summary undefined that it is part of.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from clbench.schema.errors import BadValueError


def diagonal(matrix: Float[np.ndarray, "r c"]) -> Float[np.ndarray, " r"]:
    """Return the CKA of each layer with the same layer on the other side, by depth.

    Raises:
        BadValueError: The sides have different numbers of layers.
    """
    n_rows, n_columns = matrix.shape
    if n_rows != n_columns:
        raise BadValueError(
            f"only a square matrix has a diagonal, got {n_rows} x {n_columns} layers; "
            "take the layers that both sides have"
        )
    return np.diagonal(matrix)


def diagonal_mean(matrix: Float[np.ndarray, "r c"]) -> float:
    """Return the mean over the diagonal."""
    return float(diagonal(matrix).mean(dtype=np.float64))


def end_mean(matrix: Float[np.ndarray, "r c"], last: int = 2) -> float:
    """Return the mean over the ``last`` elements of the diagonal: how alike networks end.

    Two are the pooled features and the logits of our layers.
    """
    return float(diagonal(matrix)[-last:].mean(dtype=np.float64))


def whole_mean(matrix: Float[np.ndarray, "r c"]) -> float:
    """Return the mean over all pairs of layers."""
    return float(matrix.mean(dtype=np.float64))


def long_range_mean(matrix: Float[np.ndarray, "r c"], distance: int | None = None) -> float:
    """Return the mean over all pairs of layers that are far apart: |i - j| >= ``distance``.

    By default that is a third of the depth, rounded up.

    Raises:
        BadValueError: The matrix is not square, or no two layers are so far apart.
    """
    depth = len(diagonal(matrix))
    least = math.ceil(depth / 3) if distance is None else distance
    i, j = np.indices(matrix.shape)
    far = matrix[abs(i - j) >= least]
    if not far.size:
        raise BadValueError(f"distance must be below {depth}, the number of layers, got {least}")
    return float(far.mean(dtype=np.float64))


def row_means(matrix: Float[np.ndarray, "r c"]) -> Float[np.ndarray, " r"]:
    """Return how alike each layer of the rows is to all layers of the columns, on average."""
    means: np.ndarray = matrix.mean(axis=1, dtype=np.float64)
    return means


def column_means(matrix: Float[np.ndarray, "r c"]) -> Float[np.ndarray, " c"]:
    """Return how alike each layer of the columns is to all layers of the rows, on average."""
    return row_means(matrix.T)


def part_mean(matrix: Float[np.ndarray, "r c"], rows: slice, columns: slice) -> float:
    """Return the mean over a range of rows and a range of columns, early and late ones say."""
    return whole_mean(matrix[rows, columns])


SUMMARIES: dict[str, Callable[[np.ndarray], float]] = {
    "diagonal_mean": diagonal_mean,
    "end_mean": end_mean,
    "long_range_mean": long_range_mean,
    "whole_mean": whole_mean,
}
"""The summaries that need no more than the matrix, by name."""
