"""Our summaries on the CKA matrices released with arXiv:2302.02502, against the known numbers.

Run it with ``python benchmarks/paper_cka.py --reference DIR``, where DIR holds the matrices
(``paper_cka.npz``) and the numbers that were computed from them (``paper_reference.json``). It
exits with 1 if any of ours differs by more than the rounding of those.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from clbench.probes.similarity.summaries import (
    column_means,
    diagonal,
    diagonal_mean,
    end_mean,
    long_range_mean,
    part_mean,
    row_means,
    whole_mean,
)

ROUNDING = 0.5e-4 + 1e-6  # four digits, from means in single precision

ENCODER, LOGITS, UNIT_LOGITS = 144, 145, 146
EARLY, LATE, BEFORE_STAGE4 = slice(0, 49), slice(98, 145), slice(0, 115)
BLOCKS = (11, 19, 27, 38, 46, 54, 62, 73, 81, 89, 97, 105, 113, 124, 132, 140)
LAST_DIFFERENT = (*BLOCKS[-2:], ENCODER, LOGITS, UNIT_LOGITS)
PLACES = {
    "conv1": 0,
    "layer1_end": 28,
    "layer2_end": 63,
    "layer3_end": 114,
    "layer4.0": 124,
    "layer4.1": 132,
    "layer4.2": 140,
    "encoder_output": ENCODER,
    "head_logits": LOGITS,
    "normalised_logits": UNIT_LOGITS,
}

Matrix = np.ndarray
Summary = Callable[[Matrix], float]


def at(place: int, matrix: Matrix) -> float:
    """Return one element of the diagonal."""
    return float(diagonal(matrix)[place])


def of_part(places: slice | tuple[int, ...], summary: Summary, matrix: Matrix) -> float:
    """Return the summary of some of the modules only."""
    chosen = np.arange(len(matrix))[places if isinstance(places, slice) else list(places)]
    return summary(matrix[np.ix_(chosen, chosen)])


OURS: dict[str, Summary] = {
    "diag_mean": diagonal_mean,
    "diag_mean_last5": partial(end_mean, last=5),
    "diag_mean_last5_unique": partial(of_part, LAST_DIFFERENT, diagonal_mean),
    "diag_min": lambda matrix: float(diagonal(matrix).min()),
    "overall_mean": whole_mean,
    "longrange_mean_absdiff_ge49": long_range_mean,  # a third of 147
    "longrange_mean_absdiff_ge73": partial(long_range_mean, distance=73),
    "longrange_ge49_within_first115": partial(
        of_part, BEFORE_STAGE4, partial(long_range_mean, distance=49)
    ),
    "block16_mean": partial(of_part, BLOCKS, whole_mean),
    "block16_mean_sep_ge5": partial(of_part, BLOCKS, partial(long_range_mean, distance=5)),
    "early0_48_vs_late98_144": lambda matrix: part_mean((matrix + matrix.T) / 2, EARLY, LATE),
    "late_late_98_144": partial(part_mean, rows=LATE, columns=LATE),
    "first115_mean": partial(part_mean, rows=BEFORE_STAGE4, columns=BEFORE_STAGE4),
    "layer4_and_after_mean": partial(part_mean, rows=slice(115, None), columns=slice(115, None)),
    "encoder_output_row_mean": lambda matrix: float(row_means(matrix)[ENCODER]),
    "encoder_output_col_mean": lambda matrix: float(column_means(matrix)[ENCODER]),
    "min": lambda matrix: float(matrix.min()),
    "max": lambda matrix: float(matrix.max()),
}
OURS |= {f"diag_at {place}": partial(at, index) for place, index in PLACES.items()}
OURS |= {f"diag_block_outputs {k}": partial(at, index) for k, index in enumerate(BLOCKS)}
"""What the reference calls each summary, and how ours computes it."""


def known_numbers(reference: Mapping[str, Any], file: str) -> dict[str, float]:
    """Return the numbers known of a matrix, by the names of ``OURS``."""
    row = reference["cka"][file]
    known = row | {f"diag_at {place}": value for place, value in row["diag_at"].items()}
    known |= {f"diag_block_outputs {k}": one for k, one in enumerate(row["diag_block_outputs"])}
    if row["kind"] == "cross_scheme_adv":
        schemes = f"{row['scheme_rows']}_vs_{row['scheme_cols']}"
        known |= reference["summary_cross_scheme_adv"][schemes][row["scenario"]]
    return {name: value for name, value in known.items() if name in OURS}


def compare(
    folder: Annotated[Path, typer.Option("--reference", help="Folder of the two files.")],
) -> None:
    """Print where each of our summaries differs most from the known numbers."""
    matrices = np.load(folder / "paper_cka.npz")
    reference = json.loads((folder / "paper_reference.json").read_text())
    found: dict[str, list[tuple[float, float, float, str]]] = {name: [] for name in OURS}
    for file, matrix in matrices.items():
        for name, theirs in known_numbers(reference, file).items():
            ours = OURS[name](matrix)
            found[name].append((abs(ours - theirs), ours, theirs, file))
    print(f"{'summary':31s} matrices     ours   theirs  difference  where it is largest")
    for name, numbers in found.items():
        difference, ours, theirs, file = max(numbers)
        print(f"{name:31s} {len(numbers):8d} {ours:8.4f} {theirs:8.4f}  {difference:10.1e}  {file}")
    wrong = [one for numbers in found.values() for one in numbers if one[0] > ROUNDING]
    print(f"{sum(map(len, found.values()))} numbers, {len(wrong)} differ by more than rounding")
    raise typer.Exit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(compare)
