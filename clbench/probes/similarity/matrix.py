"""What ``compare`` finds: matrices of a similarity measure with named axes and intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from clbench.probes.similarity.null import Null
from clbench.schema.estimate import Estimate, jackknife, t95, undefined, within
from clbench.schema.names import look_up

UNDEFINED = "undefined for these two"
"""Why a value is missing that a measure says nothing about."""

Summary = Callable[[Float64[np.ndarray, "r c"]], float]
"""Says one thing about a whole matrix."""


@dataclass(frozen=True)
class Axis:
    """One side of a matrix: the layers of a representation, in the order of execution.

    ``reasons`` says for each layer why nothing about it is defined, "" where it is; ``against`` is
    the model that the inputs were made against, "" for clean images.
    """

    representation: str
    layers: tuple[str, ...]
    reasons: tuple[str, ...]
    against: str = ""

    def take(self, layers: Sequence[str]) -> "Axis":
        """Return the axis with these layers only, in the given order."""
        places = self.places(layers)
        return replace(self, layers=tuple(layers), reasons=tuple(self.reasons[i] for i in places))

    def places(self, layers: Sequence[str]) -> list[int]:
        """Return where the layers are.

        Raises:
            UnknownNameError: The axis has no such layer.
        """
        known = {layer: place for place, layer in enumerate(self.layers)}
        return [look_up(known, layer, f"layer of {self.representation}") for layer in layers]


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """How alike the layers of one representation (rows) are to those of another one (columns).

    ``values`` are NaN where undefined; ``left_out`` are the values without each group of examples
    in turn, which intervals are made from; ``n`` is the number of examples. ``measure`` and
    ``estimator`` are names in ``MEASURES`` and ``ESTIMATORS``. Intervals end where ``value_range``
    does, but reach to a value outside of it, as an estimate without bias may be. ``undefined`` says
    why a value may be missing where both of its layers are defined. ``nulls`` are what chance alone
    makes of it, and ``heaviest`` is which share of the diagonal the heaviest examples carry.
    """

    rows: Axis
    columns: Axis
    values: Float64[np.ndarray, "r c"]
    left_out: Float64[np.ndarray, "g r c"]
    n: int
    measure: str
    estimator: str
    value_range: tuple[float, float] = (-math.inf, math.inf)
    undefined: str = UNDEFINED
    nulls: tuple[Null, ...] = ()
    heaviest: Float64[np.ndarray, " r"] | None = None

    @property
    def low(self) -> Float64[np.ndarray, "r c"]:
        """The lower ends of the 95 % intervals."""
        least = np.minimum(self.values, min(self.value_range))
        low: np.ndarray = np.maximum(self.values - self._half_widths(), least)
        return low

    @property
    def high(self) -> Float64[np.ndarray, "r c"]:
        """The upper ends of the 95 % intervals."""
        most = np.maximum(self.values, max(self.value_range))
        high: np.ndarray = np.minimum(self.values + self._half_widths(), most)
        return high

    @property
    def transposed(self) -> "SimilarityMatrix":
        """The same with rows and columns exchanged."""
        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            values=self.values.T,
            left_out=self.left_out.transpose(0, 2, 1),
            nulls=tuple(null.transposed for null in self.nulls),
        )

    def take(self, rows: Sequence[str], columns: Sequence[str] | None = None) -> "SimilarityMatrix":
        """Return the part at these layers; ``columns`` are the same as ``rows`` by default.

        Raises:
            UnknownNameError: One side has no such layer.
        """
        across = rows if columns is None else columns
        i, j = np.ix_(self.rows.places(rows), self.columns.places(across))
        return replace(
            self,
            rows=self.rows.take(rows),
            columns=self.columns.take(across),
            values=self.values[i, j],
            left_out=self.left_out[:, i, j],
            nulls=tuple(null.at((i, j)) for null in self.nulls),
            heaviest=self.heaviest[i[:, 0]]
            if self.heaviest is not None and rows == across
            else None,
        )

    def null(self, shuffled: str) -> Null:
        """Return what chance alone makes of it where the examples are shuffled in that way.

        Raises:
            UnknownNameError: They were not.
        """
        return look_up({null.shuffled: null for null in self.nulls}, shuffled, "null")

    def entry(self, row: str, column: str, name: str = "") -> Estimate:
        """Return the value of two layers, called ``name`` or by the row's layer."""
        return self.take([row], [column]).estimate(name or row, lambda matrix: float(matrix[0, 0]))

    def diagonal(self) -> list[Estimate]:
        """Return the value of every layer with the layer of the same name on the other side."""
        shared = [layer for layer in self.rows.layers if layer in self.columns.layers]
        return [self.entry(layer, layer) for layer in shared]

    def estimate(self, name: str, summary: Summary) -> Estimate:
        """Return one number made from the whole matrix, with its jackknife interval.

        Where it is undefined, the reason is that of the first undefined layer.
        """
        left_out = [summary(matrix) for matrix in self.left_out]
        found = summarise(name, summary(self.values), left_out, self.n, self._reason())
        return within(self.value_range, found)

    def _reason(self) -> str:
        single = len(self.values) == len(self.values.T) == 1
        for axis in (self.rows, self.columns):
            for layer, reason in zip(axis.layers, axis.reasons, strict=True):
                if reason:
                    return reason if single else f"{layer}: {reason}"
        return self.undefined

    def _half_widths(self) -> Float64[np.ndarray, "r c"]:
        groups = len(self.left_out)
        if groups < 2:  # noqa: PLR2004 - one group says nothing about spread
            return np.full_like(self.values, np.nan)
        widths: np.ndarray = t95(groups) * np.sqrt((groups - 1) * self.left_out.var(axis=0))
        return widths


@dataclass(frozen=True, eq=False)
class Similarities:
    """The matrices of one call, by the names of the representations of rows and columns."""

    matrices: Mapping[tuple[str, str], SimilarityMatrix]

    def matrix(self, rows: str, columns: str) -> SimilarityMatrix:
        """Return the matrix of two representations, whichever of them was asked for first.

        Raises:
            UnknownNameError: The two were not compared.
        """
        if (columns, rows) in self.matrices and (rows, columns) not in self.matrices:
            return self.matrices[columns, rows].transposed
        named = {f"{a} x {b}": matrix for (a, b), matrix in self.matrices.items()}
        return look_up(named, f"{rows} x {columns}", "matrix")


def summarise(
    name: str, value: float, leave_one_out: list[float], n: int, reason: str = ""
) -> Estimate:
    """Return a value with its jackknife interval over groups of examples, or why there is none."""
    if math.isnan(value):
        return undefined(name, n, reason)
    if any(math.isnan(one) for one in leave_one_out):
        why = "undefined without one of the minibatches: no interval"
        return Estimate(name, value, n, math.nan, math.nan, why)
    return jackknife(name, value, leave_one_out, n)
