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
from itertools import pairwise

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.measure import Measure, jackknife, undefined

FEWEST = 4
"""The unbiased estimator divides by n (n - 3)."""

SMALLEST_GROUP = 8
"""Examples that a minibatch keeps when a small set is divided only to have an interval."""

FEWEST_GROUPS = 5
"""Minibatches wanted for the interval, where there are enough examples."""

_ROUNDING_STEPS = 4  # variation of so few steps of its floating type is rounding, not a signal


def minibatches(n: int, size: int) -> list[slice]:
    """Return consecutive pieces of ``n`` examples, at most ``size`` each and as even as possible.

    Sizes differ by one at most, so that no small remainder weighs as much as a whole minibatch;
    sets of at least 16 examples give at least two pieces, and of 40 at least five, for the
    interval. No piece has fewer than ``FEWEST`` examples, unless ``n`` has.

    >>> [(piece.start, piece.stop) for piece in minibatches(130, 64)]
    [(0, 26), (26, 52), (52, 78), (78, 104), (104, 130)]
    """
    for_interval = min(FEWEST_GROUPS, n // SMALLEST_GROUP)
    groups = max(1, min(n // FEWEST, max(math.ceil(n / size), for_interval)))
    edges = [n * k // groups for k in range(groups + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def centred_gram(x: Float[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
    """Return the U-centred Gram matrix of one minibatch, in float64.

    Its inner product with another one, over n (n - 3), is the debiased HSIC of the two. A feature
    that varies by no more than rounding counts as constant, so that constant features give exactly
    zero. With fewer than ``FEWEST`` examples the result is not a number.
    """
    if len(x) < FEWEST:
        return x.new_full((len(x), len(x)), math.nan, dtype=torch.float64)
    high, low = x.amax(dim=0), x.amin(dim=0)
    rounding = torch.maximum(high.abs(), low.abs()) * (_ROUNDING_STEPS * torch.finfo(x.dtype).eps)
    centred = x.to(torch.float64, copy=True).sub_(x.mean(dim=0, dtype=torch.float64))
    centred.masked_fill_(high - low < rounding, 0)
    return u_centred(centred @ centred.T)


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


def debiased_hsic(k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:  # noqa: E741
    """Return the unbiased estimate of HSIC from two Gram matrices of the same examples.

    Its expectation is zero for independent representations, whatever ``n`` is; it may be negative.
    With fewer than ``FEWEST`` examples the result is not a number.
    """
    return _hsic(u_centred(k), u_centred(l))


def cka_from_hsic(sums: Float64[Tensor, "*any 3"]) -> Float64[Tensor, "*any"]:
    """Return CKA from sums of HSIC(x, y), HSIC(x, x) and HSIC(y, y); NaN where it is undefined."""
    cross, x, y = sums.unbind(dim=-1)
    defined = (x > 0) & (y > 0)
    # the roots one by one: the product of two small sums may be below the smallest number
    return torch.where(defined, cross / x.sqrt() / y.sqrt(), torch.nan)


def sums_without_each(terms: Float64[Tensor, " b *any"]) -> Float64[Tensor, " b *any"]:
    """Return the sum of all terms but the first, all but the second, and so on.

    Nothing is subtracted, so a term that outweighs all others takes no digits away.
    """
    zero = torch.zeros_like(terms[:1])
    before = torch.cat([zero, terms[:-1]]).cumsum(dim=0)
    after = torch.cat([terms[1:], zero]).flip(0).cumsum(dim=0).flip(0)
    return before + after


class CkaAccumulator:
    """The CKA of two representations, from minibatches given one after the other.

    Both sides of a minibatch must hold the same examples in the same order. It keeps three numbers
    per minibatch, on the device of the features, and waits for that device only when asked for the
    result. A minibatch of fewer than ``FEWEST`` examples is left out.
    """

    def __init__(self) -> None:
        self.n = 0
        self._terms: list[Float64[Tensor, " 3"]] = []

    def update(self, x: Float[Tensor, "n dx"], y: Float[Tensor, "n dy"]) -> None:
        """Add a minibatch of features."""
        self.update_grams(centred_gram(x), centred_gram(y))

    def update_grams(self, k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> None:  # noqa: E741
        """Add a minibatch by the results of ``centred_gram``."""
        if len(k) >= FEWEST:
            self.n += len(k)
            self._terms.append(torch.stack([_hsic(k, l), _hsic(k, k), _hsic(l, l)]))

    def value(self) -> float:
        """Return CKA in [-1, 1], NaN where it is undefined."""
        return float(cka_from_hsic(self._all_terms().sum(dim=0)))

    def leave_one_out(self) -> list[float]:
        """Return CKA without each minibatch in turn."""
        values: list[float] = cka_from_hsic(sums_without_each(self._all_terms())).tolist()
        return values

    def why_undefined(self) -> str:
        """Return the reason for a value that is NaN, "" where CKA is defined."""
        if not self._terms:
            return f"fewer than {FEWEST} examples"
        sums = self._all_terms().sum(dim=0)
        if not bool(sums.isfinite().all()):
            return "features are not finite"
        return "" if bool((sums[1:] > 0).all()) else "features do not vary"

    def _all_terms(self) -> Float64[Tensor, "b 3"]:
        if not self._terms:
            return torch.zeros(0, 3, dtype=torch.float64)
        return torch.stack(self._terms).cpu()


def summarise(
    name: str, value: float, leave_one_out: list[float], n: int, reason: str = ""
) -> Measure:
    """Return a CKA with its jackknife interval over minibatches, or why there is none."""
    if math.isnan(value):
        return undefined(name, n, reason)
    if any(math.isnan(one) for one in leave_one_out):
        why = "undefined without one of the minibatches: no interval"
        return Measure(name, value, n, math.nan, math.nan, why)
    return jackknife(name, value, leave_one_out, n)


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
    whole = CkaAccumulator()
    whole.update(x, y)
    return whole.value()


def _hsic(k: Float64[Tensor, "n n"], l: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:  # noqa: E741
    n = len(k)
    return (k * l).sum() / (n * (n - 3) if n >= FEWEST else math.nan)
