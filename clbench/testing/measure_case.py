"""A similarity measure on trial: what it declares of itself, and how it is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float64
from torch import Tensor, nn

from clbench.probes.similarity.measures import SimilarityMeasure
from clbench.schema.estimate import Estimate

Features = Float64[Tensor, "_ _"]
Estimating = Callable[[nn.Module, nn.Module, Tensor], Estimate]
"""How alike two networks are on the same images."""

OF_ESTIMATES = (
    "depends_on_the_network",
    "undefined_has_a_reason",
    "interval_covers",
    "leaves_all_as_found",
)
"""The laws of estimates, which a measure alone cannot be asked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureCase:
    """A measure and what is declared of it.

    Attributes:
        name: What messages call it.
        measure: Its three functions.
        estimate: How two networks are compared by it.
        debiased: Unrelated representations give 0 in the mean, however few the examples.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    measure: SimilarityMeasure
    estimate: Estimating | None = None
    debiased: bool = False
    excused: Mapping[str, str] = field(default_factory=dict)

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared = {}
        if not self.debiased:
            declared["unrelated_is_zero"] = "it is not debiased"
        if not self.measure.symmetric:
            declared["is_symmetric"] = "it weighs by its first side"
        if self.estimate is None:
            declared = declared | dict.fromkeys(OF_ESTIMATES, "no estimate was given")
        return declared | dict(self.excused)

    def score(self, one: Features, other: Features) -> float:
        """Return the value for two representations."""
        return float(self.measure.score(self.measure.reduce(one), self.measure.reduce(other)))

    def between(self, one: nn.Module, other: nn.Module, images: Tensor) -> Estimate:
        """Return the estimate for two networks."""
        if self.estimate is None:
            raise AssertionError("no estimate was given")
        return self.estimate(one, other, images)
