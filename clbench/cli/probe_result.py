"""How a comparison of models and its findings are shown to a person."""

import math
from collections.abc import Sequence
from pathlib import Path

from clbench.analysis import Analysis
from clbench.analysis.findings import Finding
from clbench.analysis.store import DESCRIPTION
from clbench.analysis.tables import summarised
from clbench.cli.show import show_rows
from clbench.measure import Measure
from clbench.probes.summaries import SUMMARIES


def show_comparison(analysis: Analysis, out: Path) -> None:
    """Print what is said about each model, and where everything is."""
    rows = [
        {"kind": kind, "model": rows}
        | {name.removesuffix("_mean"): _cell(summarised(block, name)) for name in SUMMARIES}
        for kind, rows, columns, block in analysis.matrices
        if rows == columns
    ]
    if rows:
        show_rows("mean CKA of each model, with half of the 95 % interval", rows, as_json=False)
    described = analysis.description
    figures = sum(name.endswith(".png") for name in described.files)
    print(
        f"{len(analysis.matrices)} matrices and {figures} figures of {described.data.n} images in "
        f"{described.wall_s:.0f} s on {described.device}; {out / DESCRIPTION} describes them"
    )


def show_findings(found: Sequence[Finding], out: Path) -> None:
    """Print every finding, and where the files are."""
    rows = [
        {
            "claim": one.claim,
            "measured": one.measured
            if one.scheme in one.measured
            else f"{one.scheme}: {one.measured}",
            "effect": "" if math.isnan(one.effect) else f"{one.effect:+.3f}",
            "95 % interval": "" if math.isnan(one.low) else f"{one.low:+.3f} to {one.high:+.3f}",
            "verdict": one.verdict,
        }
        for one in found
    ]
    show_rows("findings", rows, as_json=False)
    print(f"statements, sources and notes in {out / 'findings.md'}")


def _cell(measure: Measure) -> str:
    if math.isnan(measure.value):
        return "undefined"
    half = measure.value - measure.low
    return f"{measure.value:.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")
