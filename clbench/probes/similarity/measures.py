"""What a similarity measure is, and the table of all measures.

A new measure is a new file with its three functions, and one row below.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from clbench.probes.similarity import cca, cka, neighbours, rbf_cka, rsa, shapes
from clbench.probes.similarity.gram import centred_gram, quick_gram
from clbench.probes.similarity.rows import both_in_another_order, in_another_order
from clbench.runtime.user_code import is_own, load_own
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up

Invariance = Literal["permutation", "orthogonal", "linear", "scale", "shift"]
"""What may be done to the features of one side: a permutation or rotation of their axes, any
invertible linear map, a factor, a constant added to every example."""

SIMILARITY_MAPS: frozenset[Invariance] = frozenset({"permutation", "orthogonal", "scale", "shift"})
"""What leaves the shape of a cloud of examples as it is."""

Reduced = Float[Tensor, "n ..."]
"""What a measure keeps of the features of ``n`` examples at one layer."""


Reduce = Callable[[Float[Tensor, " n *shape"]], Reduced]
"""Makes of features, one row per example, what can be scored."""


@dataclass(frozen=True)
class SimilarityMeasure:
    """How alike two representations of the same examples are: what is measured.

    How it is had from finite examples is an ``Estimator``'s matter.

    Attributes:
        name: In options, files and the names of columns.
        label: On the axes of figures.
        meaning: In one line, for lists.
        value_range: Of infinitely many examples, from unlike to alike, so that a distance falls; an
            estimate without bias may lie outside.
        invariant_to: What may be done to the features of one side without changing the value. What
            is not listed does change it.
        reduce: Done once per layer.
        score: Done once per pair of layers, on what both were reduced to; NaN where undefined.
        permute: What ``reduce`` would give for the examples in another order, without the features,
            so that a permutation test needs no further pass.
        accumulates: Whether ``reduce`` gives a U-centred Gram matrix [n, n] and ``score`` the
            cosine of two of them: then inner products may be summed over minibatches.
        quick: Nearly what ``reduce`` gives, for where single precision suffices.
        symmetric: Whether the two sides may be exchanged.
        undefined: Why ``score`` is not a number, where both sides are and vary.
    """

    name: str
    label: str
    meaning: str
    value_range: tuple[float, float]
    invariant_to: frozenset[Invariance]
    reduce: Reduce
    score: Callable[[Tensor, Tensor], Float[Tensor, ""]]
    permute: Callable[[Tensor, Int[Tensor, " n"]], Tensor]
    accumulates: bool
    quick: Reduce | None = None
    symmetric: bool = True
    undefined: str = "undefined for these two"


CKA = SimilarityMeasure(
    name="cka",
    label="CKA",
    meaning="linear centred kernel alignment, from U-centred Gram matrices",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=centred_gram,
    score=cka.score,
    permute=both_in_another_order,
    accumulates=True,
    quick=quick_gram,
)

RBF_CKA = SimilarityMeasure(
    name="rbf_cka",
    label="RBF CKA",
    meaning="CKA of a Gaussian kernel as wide as the median distance: near examples count",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=rbf_cka.reduce,
    score=cka.score,
    permute=both_in_another_order,
    accumulates=True,
)

PROCRUSTES = SimilarityMeasure(
    name="procrustes",
    label="Procrustes distance",
    meaning="distance after the best rotation, of features centred and of norm 1",
    value_range=(math.sqrt(2), 0.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=shapes.reduce,
    score=shapes.procrustes,
    permute=in_another_order,
    accumulates=False,
)

ANGULAR = SimilarityMeasure(
    name="angular",
    label="shape angle",
    meaning="angle between shapes, in radians: a metric, after the best rotation",
    value_range=(math.pi / 2, 0.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=shapes.reduce,
    score=shapes.angle,
    permute=in_another_order,
    accumulates=False,
)

SVCCA = SimilarityMeasure(
    name="svcca",
    label="SVCCA",
    meaning=f"mean canonical correlation of the directions with {cca.VARIANCE:.0%} of the variance",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=cca.main_directions,
    score=cca.mean_correlation,
    permute=in_another_order,
    accumulates=False,
    undefined=cca.UNDEFINED,
)

PWCCA = SimilarityMeasure(
    name="pwcca",
    label="PWCCA",
    meaning="mean canonical correlation, weighted by the neurons of the first side",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS - {"orthogonal"},
    reduce=cca.neurons,
    score=cca.weighted_correlation,
    permute=in_another_order,
    accumulates=False,
    symmetric=False,
    undefined=cca.UNDEFINED,
)

RSA = SimilarityMeasure(
    name="rsa",
    label="RSA",
    meaning="rank correlation of the Euclidean distances between examples",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS,
    reduce=rsa.reduce,
    score=rsa.correlation,
    permute=both_in_another_order,
    accumulates=False,
    undefined="all distances are equal",
)

MUTUAL_KNN = SimilarityMeasure(
    name="mutual_knn",
    label="mutual k-NN",
    meaning=f"share of the {neighbours.NEIGHBOURS} nearest examples in common: local structure",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS - {"shift"},
    reduce=neighbours.reduce,
    score=neighbours.shared,
    permute=both_in_another_order,
    accumulates=False,
)

JACCARD_KNN = SimilarityMeasure(
    name="jaccard_knn",
    label="Jaccard k-NN",
    meaning=f"{neighbours.NEIGHBOURS} nearest examples in common, over those of either side",
    value_range=(0.0, 1.0),
    invariant_to=SIMILARITY_MAPS - {"shift"},
    reduce=neighbours.reduce,
    score=neighbours.jaccard,
    permute=both_in_another_order,
    accumulates=False,
)

MEASURES: dict[str, SimilarityMeasure] = {
    row.name: row
    for row in (CKA, RBF_CKA, PROCRUSTES, ANGULAR, SVCCA, PWCCA, RSA, MUTUAL_KNN, JACCARD_KNN)
}
"""All measures, the usual one first."""

ENTRY_POINT_GROUP = "clbench.measures"
"""Where other packages register a name for a measure of theirs."""


def find_measure(name: str) -> SimilarityMeasure:
    """Return a row of ``MEASURES``, or a measure of a user's own, which bears the name it is given.

    Args:
        name: Of a row; ``FILE.py:NAME``; or one that a package registered.

    Raises:
        UnknownNameError: There is no such row; the message suggests the nearest.
        BadValueError: It cannot be imported, or is no measure.
    """
    if not is_own(name, ENTRY_POINT_GROUP):
        return look_up(MEASURES, name, "measure")
    what = f"measure '{name}'"
    found = load_own(what, name, ENTRY_POINT_GROUP, BadValueError).value
    if not isinstance(found, SimilarityMeasure):
        kind = type(found).__name__
        raise BadValueError(f"{what} must be a SimilarityMeasure, got {kind}")
    return replace(found, name=name)
