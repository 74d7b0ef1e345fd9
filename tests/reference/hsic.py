"""HSIC and CKA by their definitions: slow, in plain numpy, sharing nothing with the package."""

from itertools import permutations

import numpy as np
from scipy.stats import t


def hsic_by_quadruples(k, l):  # noqa: E741 - k, l as in the papers
    """Average k_st (l_st + l_uv - 2 l_su) over all quadruples of different examples."""
    terms = [
        k[s, t] * (l[s, t] + l[u, v] - 2 * l[s, u]) for s, t, u, v in permutations(range(len(k)), 4)
    ]
    return sum(terms) / len(terms)


def hsic(k, l):  # noqa: E741 - k, l as in the papers
    """Song et al., 2012, equation 5."""
    n = len(k)
    k, l = k.copy(), l.copy()  # noqa: E741 - k, l as in the papers
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    one = np.ones(n)
    trace = np.trace(k @ l)
    product = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    mixed = 2 / (n - 2) * (one @ k @ l @ one)
    return (trace + product - mixed) / (n * (n - 3))


def biased_cka(x, y):
    """Kornblith et al., 2019, for linear kernels: the estimator that is never a column."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cross = np.linalg.norm(x.T @ y) ** 2
    return cross / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def minibatch_cka(batches):
    """Return CKA from pairs of feature arrays, one pair a minibatch."""
    sums = np.zeros(3)
    for x, y in batches:
        # more digits than float64, since nothing is centred before the large sums cancel
        k, l = (f.astype(np.longdouble) @ f.astype(np.longdouble).T for f in (x, y))  # noqa: E741 - k, l as in the papers
        sums += hsic(k, l), hsic(k, k), hsic(l, l)
    return sums[0] / np.sqrt(sums[1] * sums[2])


def jackknife_interval(batches):
    """Return the 95 % interval of ``minibatch_cka``, every minibatch left out in turn."""
    n = len(batches)
    left_out = np.array([minibatch_cka(batches[:b] + batches[b + 1 :]) for b in range(n)])
    half = t.ppf(0.975, n - 1) * np.sqrt((n - 1) * left_out.var())
    value = minibatch_cka(batches)
    return value - half, value + half


def full_set_interval(x, y, groups, cka):
    """Return the 95 % interval of ``cka``, every group of examples left out in turn."""
    names = np.unique(groups)
    left_out = np.array([cka(x[groups != g], y[groups != g]) for g in names])
    half = t.ppf(0.975, len(names) - 1) * np.sqrt((len(names) - 1) * left_out.var())
    value = cka(x, y)
    return value - half, value + half


def full_set_cka(x, y):
    """Return debiased CKA from sums over features, without any Gram matrix: for many examples."""

    def hsic_of(a, b):
        n, own_a, own_b = len(a), (a * a).sum(axis=1), (b * b).sum(axis=1)
        rows_a, rows_b = a @ a.sum(axis=0) - own_a, b @ b.sum(axis=0) - own_b
        trace = np.square(a.T @ b).sum() - (own_a * own_b).sum()
        product = rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2))
        return (trace + product - 2 / (n - 2) * (rows_a @ rows_b)) / (n * (n - 3))

    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return hsic_of(x, y) / np.sqrt(hsic_of(x, x) * hsic_of(y, y))
