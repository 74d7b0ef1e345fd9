"""What a similarity measure is, and the table of all measures.

A new measure is a new file with its three functions, and one row below.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from clbench.probes.similarity import cka
from clbench.runtime.user_code import is_own, load_own
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up

Invariance = Literal["permutation", "orthogonal", "linear", "scale", "shift"]
"""What may be done to the features of one side: a permutation or rotation of their axes, any
invertible linear map, a factor, a constant added to every example."""

Reduced = Float[Tensor, "n ..."]
"""What a measure keeps of the features of ``n`` examples at one layer."""


@runtime_checkable
class Reduce(Protocol):
    """Makes of features what can be scored; ``quick`` allows single precision where it suffices."""

    def __call__(self, features: Float[Tensor, " n *shape"], *, quick: bool = False) -> Tensor:
        """Return what is kept of features, one row per example."""
        ...


@dataclass(frozen=True)
class SimilarityMeasure:
    """How alike two representations of the same examples are: what is measured.

    How it is had from finite examples is an ``Estimator``'s matter.

    Attributes:
        name: In options, files and the names of columns.
        label: On the axes of figures.
        meaning: In one line, for lists.
        value_range: Of infinitely many examples, from unlike to alike; an estimate without bias may
            lie outside.
        invariant_to: What may be done to the features of one side without changing the value. What
            is not listed does change it.
        reduce: Done once per layer.
        score: Done once per pair of layers, on what both were reduced to; NaN where undefined.
        permute: What ``reduce`` would give for the examples in another order, without the features,
            so that a permutation test needs no further pass.
        accumulates: Whether ``reduce`` gives a U-centred Gram matrix [n, n] and ``score`` the
            cosine of two of them: then inner products may be summed over minibatches.
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


CKA = SimilarityMeasure(
    name="cka",
    label="CKA",
    meaning="linear centred kernel alignment, from U-centred Gram matrices",
    value_range=(0.0, 1.0),
    invariant_to=frozenset({"permutation", "orthogonal", "scale", "shift"}),
    reduce=cka.reduce,
    score=cka.score,
    permute=cka.permute,
    accumulates=True,
)

MEASURES: dict[str, SimilarityMeasure] = {row.name: row for row in (CKA,)}
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
