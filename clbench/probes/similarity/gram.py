"""Centred Gram matrices: all that HSIC needs to know about the features of a minibatch.

Two ways, which differ in time only as long as features are healthy:

- ``centred_gram`` is the definition: features are centred and multiplied in double precision.
- ``quick_gram`` multiplies wide features as they are, piece by piece in single precision, and sums
  the pieces in double precision. Where that could cost digits (a large constant beside a small
  variation, overflow, too small numbers) it is the former.

CKA from the second differs from CKA from the first by less than 1e-6, by 1e-8 between all layers of
a ResNet-18 on CIFAR-10 images.
"""

import math

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

FEWEST = 4
"""The unbiased estimator of HSIC divides by n (n - 3)."""

ROUNDING_STEPS = 4
"""Variation of so few steps of its floating type is rounding, not a signal."""

_PIECE = 4096  # features centred at a time; with 64 examples they stay in the cache
_PRODUCT = 2048  # features whose products are summed in single precision
_SMALLEST = 1e-20  # squared lengths below it come near the smallest numbers of single precision


def centred_gram(x: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n n"]:
    """Return the U-centred Gram matrix of one minibatch, in float64.

    Its inner product with another one, over n (n - 3), is the debiased HSIC of the two. A feature
    that varies by no more than rounding counts as constant, so that constant features give exactly
    zero. With fewer than ``FEWEST`` examples the result is not a number.
    """
    n = len(x)
    if n < FEWEST:
        return x.new_full((n, n), math.nan, dtype=torch.float64)
    gram = x.new_zeros((n, n), dtype=torch.float64)
    for piece in torch.split(as_rows(x), _PIECE, dim=1):
        centred = _centred(piece)
        gram += centred @ centred.T
    return u_centred(gram)


def quick_gram(x: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n n"]:
    """Return nearly what ``centred_gram`` returns, in a third of its time for wide features."""
    rows = as_rows(x)
    if rows.dtype != torch.float32 or len(rows) < FEWEST or rows.shape[1] < _PRODUCT:
        return centred_gram(x)
    gram = _gram_of_pieces(rows)
    centred = u_centred(gram)
    return centred if _keeps_digits(gram, centred) else centred_gram(x)


def u_centred(gram: Float64[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    """Return a symmetric matrix centred without its diagonal, which becomes zero.

    Every row of the result sums to zero. Adding a_i + a_j to all elements changes nothing.
    """
    n = len(gram)
    if n < FEWEST:
        return torch.full_like(gram, torch.nan)
    scale = gram.diagonal().abs().amax()
    outside = gram.clone().fill_diagonal_(0)
    rows = outside.sum(dim=0) / (n - 2)
    result = outside - rows[:, None] - rows[None, :] + rows.sum() / (n - 1)
    result.fill_diagonal_(0)
    noise = n * torch.finfo(torch.float64).eps * scale
    return result.masked_fill_(result.abs().amax() <= noise, 0)


def as_rows(x: Float[Tensor, " n *shape"]) -> Float[Tensor, "n d"]:
    """Return features as one row per example, in the order of memory, so that nothing is copied.

    No Gram matrix depends on that order; it may differ between two tensors of the same shape.
    """
    inwards = sorted(range(1, x.ndim), key=x.stride, reverse=True)
    return x.permute(0, *inwards).reshape(len(x), -1)


def varies(x: Float[Tensor, "n d"]) -> Bool[Tensor, " d"]:
    """Return which features vary by more than rounding."""
    high, low = x.amax(dim=0), x.amin(dim=0)
    largest = torch.maximum(high.abs(), low.abs())
    return high - low > largest * (ROUNDING_STEPS * torch.finfo(x.dtype).eps)


def _centred(x: Float[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    high, low = x.amax(dim=0), x.amin(dim=0)
    rounding = torch.maximum(high.abs(), low.abs()) * (ROUNDING_STEPS * torch.finfo(x.dtype).eps)
    centred = x.to(torch.float64, copy=True).sub_(x.mean(dim=0, dtype=torch.float64))
    return centred.masked_fill_(high - low < rounding, 0)


def _gram_of_pieces(x: Float[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
    half, whole = len(x) // 2, x.shape[1] - x.shape[1] % _PRODUCT
    pieces = x[:, :whole].view(len(x), -1, _PRODUCT).transpose(0, 1)
    # of the four quarters of a symmetric matrix, three say everything
    first, last = pieces[:, :half], pieces[:, half:]
    left = torch.bmm(pieces, first.mT).sum(dim=0, dtype=torch.float64)
    corner = torch.bmm(last, last.mT).sum(dim=0, dtype=torch.float64)
    gram = torch.cat([left, torch.cat([left[half:].T, corner])], dim=1)
    rest = x[:, whole:].to(torch.float64)
    return gram.addmm_(rest, rest.T)


def _keeps_digits(gram: Float64[Tensor, "n n"], centred: Float64[Tensor, "n n"]) -> bool:
    """Tell whether centring took away little enough of what was summed in single precision.

    Rounding errors of n * n elements are independent, so they matter to CKA by their nth part.
    """
    longest = gram.diagonal().amax()
    summed = gram.clone().fill_diagonal_(0).norm()
    return bool((centred.norm() * len(gram) > summed) & (longest > _SMALLEST))
