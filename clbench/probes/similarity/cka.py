"""Debiased linear CKA from minibatches: how alike two representations of the same examples are.

Every minibatch b gives unbiased estimates of three HSIC values, and

    CKA(x, y) = sum_b HSIC_b(x, y) / sqrt(sum_b HSIC_b(x, x) * sum_b HSIC_b(y, y)).

What a minibatch contributes are inner products of its U-centred Gram matrices, so one such matrix
per representation serves every pair that the representation is part of.

Sources:
    Song et al., 2012, JMLR 13 (the unbiased estimator of HSIC); Szekely and Rizzo, 2014,
    arXiv:1310.2926 (it is an inner product of U-centred matrices); Kornblith et al., 2019,
    arXiv:1905.00414 (CKA); Nguyen et al., 2021, arXiv:2010.15327 (sums over minibatches).
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.similarity.gram import FEWEST, centred_gram, u_centred


def debiased_hsic(k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:  # noqa: E741 - k, l as in the papers
    """Return the unbiased estimate of HSIC from two Gram matrices of the same examples.

    Its expectation is zero for independent representations, whatever ``n`` is; it may be negative.
    With fewer than ``FEWEST`` examples the result is not a number.
    """
    return _hsic(u_centred(k), u_centred(l))


def cka_from_hsic(
    cross: Float64[Tensor, "*any"], x: Float64[Tensor, "*any2"], y: Float64[Tensor, "*any3"]
) -> Float64[Tensor, "*any"]:
    """Return CKA from HSIC(x, y), HSIC(x, x) and HSIC(y, y); NaN where it is undefined.

    The last two need only fit the first by broadcasting.
    """
    defined = (x > 0) & (y > 0)
    # the roots one by one: the product of two small sums may be below the smallest number
    return torch.where(defined, cross / x.sqrt() / y.sqrt(), torch.nan)


def score(k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:  # noqa: E741 - k, l as in the papers
    """Return debiased CKA in [-1, 1] from two U-centred Gram matrices; NaN where undefined."""
    return cka_from_hsic(_hsic(k, l), _hsic(k, k), _hsic(l, l))


def linear_cka(x: Float[Tensor, "n dx"], y: Float[Tensor, "n dy"]) -> float:
    """Return how alike two representations of the same examples are, without bias in ``n``.

    The result does not change when either side is rotated, shifted, or scaled by a number other
    than zero. Independent representations give about 0, above or below, even where there are many
    more features than examples.

    Args:
        x: One row per example.
        y: One row per example, in the same order as ``x``; may be wider or narrower.

    Returns:
        Similarity in [-1, 1], no unit: 1 for equal up to rotation, shift and scale. NaN where it is
        undefined: fewer than ``FEWEST`` examples, or a side that does not vary.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0], [5.0, 2.0], [4.0, 4.0]])
    >>> round(linear_cka(x, 5 * x + 1), 6)
    1.0
    """
    return float(score(centred_gram(x), centred_gram(y)))


def _hsic(k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:  # noqa: E741 - k, l as in the papers
    n = len(k)
    return (k * l).sum() / (n * (n - 3) if n >= FEWEST else math.nan)
