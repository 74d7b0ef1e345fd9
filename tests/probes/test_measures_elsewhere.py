"""Every measure gives what other implementations and published values say."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from clbench.probes.similarity.measures import MEASURES

DEFINITION = runpy.run_path(str(Path(__file__).parents[1] / "reference/hsic.py"))

# --- a closed-form data set, on which other packages were run ---

_I = torch.arange(1, 61, dtype=torch.float64)[:, None]
X = torch.sin(_I * torch.arange(1, 9))
Y = X[:, :6] + 0.7 * torch.cos(_I * (torch.arange(1, 7) + 1) / 2)

PUBLISHED = [
    ("cka", X, Y, 0.544021, "pytorch-cka 1.1.3 and Aristotelian"),
    ("procrustes", X, Y, 0.752280, "resi"),
    ("angular", X, Y, 0.771254, "netrep and resi"),
    ("rsa", X, Y, 0.372935, "resi and Aristotelian"),
    ("mutual_knn", X, Y, 0.496667, "Aristotelian, on rows of length 1"),
    ("jaccard_knn", X, Y, 0.343460, "resi"),
    ("pwcca", X, Y, 0.826935, "the definition in exact arithmetic; Aristotelian's ridge: 0.827169"),
    ("pwcca", Y, X, 0.826691, "the same"),
    ("svcca", X, Y, 0.827088, "CCA of Aristotelian: all directions hold 99 %"),
]


def value(name, x, y):
    measure = MEASURES[name]
    return float(measure.score(measure.reduce(x), measure.reduce(y)))


@pytest.mark.parametrize(("name", "x", "y", "expected", "source"), PUBLISHED)
def test_a_measure_gives_the_published_value(name, x, y, expected, source):
    assert value(name, x, y) == pytest.approx(expected, abs=1e-6), source


# --- the same by well-kept libraries, on random features ---


def centred(x):
    return x - x.mean(axis=0)


def by_pca(x):
    """The main directions of x, by scikit-learn."""
    kept = PCA(n_components=0.99, svd_solver="full").fit(x)
    return kept.transform(x)


def overlap(x, y):
    """The sum of singular values, by SciPy: its disparity is 1 less the square."""
    width = max(x.shape[1], y.shape[1])
    padded = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    return np.sqrt(1 - procrustes(*padded)[2])


def neighbour_sets(x):
    found = NearestNeighbors(n_neighbors=10, metric="cosine").fit(x)
    return [set(row) for row in found.kneighbors(return_distance=False)]


def linear(x):
    return centred(x) @ centred(x).T


def debiased_cka(k, l):  # noqa: E741 - k, l as in the papers
    one, other, both = DEFINITION["hsic"](k, k), DEFINITION["hsic"](l, l), DEFINITION["hsic"](k, l)
    return both / np.sqrt(one * other)


def gaussian(x):
    return rbf_kernel(x, gamma=0.5 / np.median(pdist(x)) ** 2)


def by_directions(x, y):
    """PWCCA from SciPy's bases, one direction after the other."""
    (u, *_), (v, *_) = (np.linalg.svd(centred(side), full_matrices=False) for side in (x, y))
    turned, correlations, _ = np.linalg.svd(u.T @ v)
    variables = u @ turned[:, : len(correlations)]
    weights = [sum(abs(h @ neuron) for neuron in centred(x).T) for h in variables.T]
    return np.average(correlations, weights=weights)


ELSEWHERE = {
    "cka": lambda x, y: debiased_cka(linear(x), linear(y)),
    "rbf_cka": lambda x, y: debiased_cka(gaussian(x), gaussian(y)),
    "procrustes": lambda x, y: np.sqrt(2 - 2 * overlap(x, y)),
    "angular": lambda x, y: np.arccos(overlap(x, y)),
    "svcca": lambda x, y: np.cos(subspace_angles(by_pca(x), by_pca(y))).mean(),
    "pwcca": by_directions,
    "rsa": lambda x, y: spearmanr(pdist(x), pdist(y)).statistic,
    "mutual_knn": lambda x, y: np.mean(
        [len(a & b) / 10 for a, b in zip(neighbour_sets(x), neighbour_sets(y), strict=True)]
    ),
    "jaccard_knn": lambda x, y: np.mean(
        [len(a & b) / len(a | b) for a, b in zip(neighbour_sets(x), neighbour_sets(y), strict=True)]
    ),
}

SHAPES = [(40, 5, 5), (60, 12, 7), (60, 7, 12), (150, 20, 40)]


def some(n, width, other, seed):
    """Two representations that share a part, of features with very different lengths."""
    drawn = np.random.default_rng(seed)
    x = drawn.normal(size=(n, width)) * np.logspace(0, -1, width) + 3
    y = x @ drawn.normal(size=(width, other)) + drawn.normal(size=(n, other))
    return x, y


def test_every_measure_has_another_implementation():
    assert ELSEWHERE.keys() == MEASURES.keys()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_agrees_with_another_implementation(name, shape):
    for seed in range(5):
        x, y = some(*shape, seed)
        found = value(name, torch.from_numpy(x), torch.from_numpy(y))
        assert found == pytest.approx(ELSEWHERE[name](x, y), abs=1e-9)


# --- more features than examples ---

WIDE = {"procrustes", "angular", "rsa", "rbf_cka", "mutual_knn", "jaccard_knn", "cka"}


@pytest.mark.parametrize("name", sorted(WIDE))
def test_wide_features_are_measured_as_by_another_implementation(name):
    x, y = some(30, 200, 90, seed=1)
    assert value(name, torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(
        ELSEWHERE[name](x, y), abs=1e-8
    )


@pytest.mark.parametrize("name", ["svcca", "pwcca"])
@pytest.mark.parametrize(("n", "width", "other"), [(30, 200, 90), (30, 28, 9), (8, 6, 6)])
def test_directions_as_many_as_examples_are_undefined(name, n, width, other):
    x, y = (torch.randn(n, size, dtype=torch.float64) for size in (width, other))
    assert np.isnan(value(name, x, y))


def test_examples_at_equal_distances_have_no_order():
    corners = torch.eye(12, dtype=torch.float64)
    assert np.isnan(value("rsa", corners, torch.randn(12, 3, dtype=torch.float64)))
    two_places = torch.tensor([[0.0], [1.0]]).repeat(6, 1)
    assert value("rsa", two_places, 5 * two_places) == pytest.approx(1)


def test_duplicates_are_neighbours_of_each_other_and_not_of_themselves():
    x = torch.randn(8, 3, dtype=torch.float64).repeat(2, 1)
    table = MEASURES["mutual_knn"].reduce(x)
    assert not table.diagonal().any()
    assert table[0, 8]
    assert table[8, 0]
