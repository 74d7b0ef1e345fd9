"""How a comparison of models and its findings are shown to a person."""

import math
from pathlib import Path

from clbench.analysis.claims import CLAIMS
from clbench.analysis.controls import mean_beside
from clbench.analysis.findings import Finding
from clbench.analysis.report import Report
from clbench.analysis.result import Analysis
from clbench.analysis.store import RECORD
from clbench.analysis.tables import like_chance, summarised
from clbench.cli.render.tables import show_entries, show_rows
from clbench.probes.similarity.measures import find_measure
from clbench.probes.similarity.null import WITHIN

_SHOWN = {
    "adv x clean": ("adversarial-clean", "diagonal_mean"),
    "at the end": ("adversarial-clean", "end_mean"),
    "far layers": ("clean-clean", "long_range_mean"),
    "far layers, adv": ("adversarial-adversarial", "long_range_mean"),
}
"""What is said of each model: title, comparison and summary."""

_MOST_NAMES = 3
"""Layers that are named; of more, only the number."""


def show_comparison(analysis: Analysis, out: Path) -> None:
    """Print what is said about each model, and where everything is."""
    described = analysis.record
    label = find_measure(described.measure).label
    shown = {title: what for title, what in _SHOWN.items() if what[0] in described.comparisons}
    if shown:
        rows = [
            {"model": model.name}
            | {
                title: _cell(analysis, model.name, comparison, summary)
                for title, (comparison, summary) in shown.items()
            }
            for model in described.models
        ]
        show_rows(f"mean {label}, with half of the 95 % interval", rows, as_json=False)
        controls = [
            {"model": model.name} | mean_beside(analysis, model.name) for model in described.models
        ]
        if all(len(row) > 1 for row in controls):
            show_rows(f"mean {label} of controls with clean images", controls, as_json=False)
        if "adversarial-clean" in described.comparisons and described.permutations:
            print(_chance(analysis))
    figures = sum(name.endswith(".png") for name in described.files)
    print(
        f"{len(analysis.matrices)} matrices and {figures} figures of {described.data.n} images in "
        f"{described.wall_s:.0f} s on {described.device}; {out / RECORD} describes them"
    )


def _chance(analysis: Analysis) -> str:
    """Return where adversarial images are no more like their own clean ones than like others.

    Others are those of the same class.
    """
    at = {}
    for matrix in analysis.of_comparison("adversarial-clean"):
        if found := like_chance(matrix.similarity, WITHIN):
            names = ", ".join(found) if len(found) <= _MOST_NAMES else f"{len(found)} layers"
            at[matrix.rows] = f"{matrix.rows} ({names})"
    where = f"but for {', '.join(at.values())}" if at else "at every layer of each model"
    n = analysis.record.permutations
    return f"adv x clean is above chance within classes {where} ({n} orders)"


def show_findings(report: Report, out: Path) -> None:
    """Print every claim with what was measured of it, and where the files are."""
    claims = dict.fromkeys(one.claim for one in report.findings)
    show_entries(
        [
            (
                f"{claim}: {CLAIMS[claim].statement}",
                [_line(one) for one in report.findings if one.claim == claim],
            )
            for claim in claims
        ]
    )
    print("\n".join(report.about))
    print(f"Sources, notes and figures are in {out / 'findings.md'}.")


def _line(finding: Finding) -> str:
    effect = "" if math.isnan(finding.effect) else f"{finding.effect:+.3f}"
    bounds = "" if math.isnan(finding.low) else f"[{finding.low:+.3f}, {finding.high:+.3f}]"
    what = finding.measured
    if finding.scheme not in what:
        what = f"{finding.scheme}: {what}"
    why = "" if bounds else f" ({finding.note}"
    why += f"; {CLAIMS[finding.claim].remedy})" if why else ""
    return f"{finding.verdict:13}  {effect:6} {bounds:16}  {what}{why}"


def _cell(analysis: Analysis, model: str, comparison: str, summary: str) -> str:
    similarity = analysis.find(comparison, model)
    estimate = summarised(similarity, summary) if similarity else None
    if estimate is None or math.isnan(estimate.value):
        return "undefined"
    half = estimate.value - estimate.low
    return f"{estimate.value:.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")
