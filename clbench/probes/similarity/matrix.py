"""What a comparison finds: matrices of CKA with named axes, intervals and reasons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from clbench.probes.similarity.cka import summarise
from clbench.schema.estimate import Z95, Estimate
from clbench.schema.names import look_up

Matrix = Float64[np.ndarray, "r c"]
Summary = Callable[[Float64[np.ndarray, "r c"]], float]


@dataclass(frozen=True)
class Axis:
    """One side of a matrix: the taps of a view, in the order of execution.

    ``reasons`` says for each tap why nothing about it is defined, "" where it is; ``against`` is
    the model that the inputs were made against, "" for clean images.
    """

    view: str
    taps: tuple[str, ...]
    reasons: tuple[str, ...]
    against: str = ""

    def take(self, taps: Sequence[str]) -> "Axis":
        """Return the axis with these taps only, in the given order."""
        places = self.places(taps)
        return replace(self, taps=tuple(taps), reasons=tuple(self.reasons[i] for i in places))

    def places(self, taps: Sequence[str]) -> list[int]:
        """Return where the taps are.

        Raises:
            UnknownNameError: The axis has no such tap.
        """
        known = {tap: place for place, tap in enumerate(self.taps)}
        return [look_up(known, tap, f"tap of {self.view}") for tap in taps]


@dataclass(frozen=True, eq=False)
class Block:
    """CKA of every tap of one view (rows) with every tap of another one (columns).

    ``values`` are in [-1, 1], NaN where undefined; ``left_out`` are the values without each group
    of examples in turn, which intervals are made from; ``n`` is the number of examples.
    """

    rows: Axis
    columns: Axis
    values: Float64[np.ndarray, "r c"]
    left_out: Float64[np.ndarray, "g r c"]
    n: int
    estimator: str

    @property
    def low(self) -> Matrix:
        """The lower ends of the 95 % intervals."""
        low: Matrix = self.values - self._half_widths()
        return low

    @property
    def high(self) -> Matrix:
        """The upper ends of the 95 % intervals."""
        high: Matrix = self.values + self._half_widths()
        return high

    @property
    def transposed(self) -> "Block":
        """The same with rows and columns exchanged."""
        values, left_out = self.values.T, self.left_out.transpose(0, 2, 1)
        return replace(self, rows=self.columns, columns=self.rows, values=values, left_out=left_out)

    def take(self, rows: Sequence[str], columns: Sequence[str] | None = None) -> "Block":
        """Return the part at these taps; ``columns`` are the same as ``rows`` by default.

        Raises:
            UnknownNameError: One side has no such tap.
        """
        across = rows if columns is None else columns
        i, j = np.ix_(self.rows.places(rows), self.columns.places(across))
        return replace(
            self,
            rows=self.rows.take(rows),
            columns=self.columns.take(across),
            values=self.values[i, j],
            left_out=self.left_out[:, i, j],
        )

    def entry(self, row: str, column: str, name: str = "") -> Estimate:
        """Return the CKA of two taps, called ``name`` or by the row's tap."""
        return self.take([row], [column]).measure(name or row, lambda matrix: float(matrix[0, 0]))

    def diagonal(self) -> list[Estimate]:
        """Return the CKA of every tap with the tap of the same name on the other side."""
        shared = [tap for tap in self.rows.taps if tap in self.columns.taps]
        return [self.entry(tap, tap) for tap in shared]

    def measure(self, name: str, summary: Summary) -> Estimate:
        """Return one number made from the whole matrix, with its jackknife interval.

        Where it is undefined, the reason is that of the first undefined tap.
        """
        left_out = [summary(matrix) for matrix in self.left_out]
        return summarise(name, summary(self.values), left_out, self.n, self._reason())

    def _reason(self) -> str:
        single = len(self.values) == len(self.values.T) == 1
        for axis in (self.rows, self.columns):
            for tap, reason in zip(axis.taps, axis.reasons, strict=True):
                if reason:
                    return reason if single else f"{tap}: {reason}"
        return "undefined for this matrix"

    def _half_widths(self) -> Matrix:
        groups = len(self.left_out)
        if groups < 2:  # noqa: PLR2004 - one group says nothing about spread
            return np.full_like(self.values, np.nan)
        widths: Matrix = Z95 * np.sqrt((groups - 1) * self.left_out.var(axis=0))
        return widths


@dataclass(frozen=True, eq=False)
class Similarities:
    """The matrices of one comparison, by the names of the views of their rows and columns."""

    blocks: Mapping[tuple[str, str], Block]

    def block(self, rows: str, columns: str) -> Block:
        """Return the matrix of two views, whichever of them was asked for first.

        Raises:
            UnknownNameError: The two were not compared.
        """
        if (columns, rows) in self.blocks and (rows, columns) not in self.blocks:
            return self.blocks[columns, rows].transposed
        named = {f"{a} x {b}": block for (a, b), block in self.blocks.items()}
        return look_up(named, f"{rows} x {columns}", "block")
