"""Which figures show a comparison: one page for each comparison, and the curves over depth."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from clbench.analysis.comparisons import COMPARISONS
from clbench.analysis.controls import beside
from clbench.analysis.figures import curves, heatmaps
from clbench.analysis.result import Analysis, Matrix
from clbench.analysis.tables import shared, summarised
from clbench.probes.similarity.measures import SimilarityMeasure, find_measure
from clbench.probes.similarity.null import WITHIN
from clbench.schema.estimate import Estimate
from clbench.schema.records import PROBE_SCORES, ModelEntry

DEPTH_CURVES = "depth-curves"
CONTROLS = "controls"
PROBE_ACCURACY = "probe-accuracy"

_PANELS_IN_A_ROW = 5

MOST_PANELS = 20
"""Matrices on one page; of more pairs, only two numbers each are shown."""

_FULL = 0.6  # of the places, where matrices are put by scheme and scenario

_OVERVIEWS = {
    "diagonal_mean": "mean over the layers",
    "end_mean": "mean of the last two layers",
}


class Group(NamedTuple):
    """Models whose curves share axes, each with its label there."""

    name: str
    labels: Mapping[str, str]


def pages(analysis: Analysis) -> Iterator[tuple[str, Figure]]:
    """Yield every figure of a comparison with its name."""
    if matrices := analysis.of_comparison("adversarial-clean"):
        yield DEPTH_CURVES, _depth_page(analysis, matrices)
        if any(analysis.of_comparison(name) for name, row in COMPARISONS.items() if row.control):
            yield CONTROLS, _controls_page(analysis, matrices)
    if analysis.accuracies:
        yield PROBE_ACCURACY, _accuracy_page(analysis)
    for comparison in (name for name, row in COMPARISONS.items() if not row.control):
        matrices = analysis.of_comparison(comparison)
        if len(matrices) > MOST_PANELS:
            yield comparison, _overview_page(analysis, comparison, matrices)
        elif matrices:
            yield comparison, _panel_page(analysis, comparison, matrices)


def grouped(models: Sequence[ModelEntry]) -> list[Group]:
    """Return the models by scheme, labelled by scenario; all in one group where one has none.

    A training of the user's own has its folder in the label.
    """
    if not all(model.scheme and model.scenario for model in models):
        return [Group("", {model.name: model.name for model in models})]
    schemes = dict.fromkeys(model.scheme for model in models)
    return [
        Group(
            scheme,
            {
                model.name: model.name.removeprefix(f"{scheme}_")
                for model in models
                if model.scheme == scheme
            },
        )
        for scheme in schemes
    ]


def _depth_page(analysis: Analysis, matrices: Sequence[Matrix]) -> Figure:
    found = {matrix.rows: shared(matrix.similarity) for matrix in matrices}
    chance = {
        name: one.null(WITHIN).level.diagonal().tolist() for name, one in found.items() if one.nulls
    }
    row = [
        curves.CurvePanel(
            group.name,
            _measure(analysis).label,
            {label: found[name].diagonal() for name, label in group.labels.items()},
            {label: chance[name] for name, label in group.labels.items() if name in chance},
        )
        for group in grouped(analysis.record.models)
    ]
    title = f"similarity of adversarial and clean representations: {_of(analysis)}"
    return curves.depth_curves(
        [row],
        f"{title}; dotted: chance within classes" if chance else title,
        _measure(analysis).value_range,
    )


def _controls_page(analysis: Analysis, matrices: Sequence[Matrix]) -> Figure:
    panels = [
        curves.CurvePanel(matrix.rows, _measure(analysis).label, beside(analysis, matrix))
        for matrix in matrices
    ]
    rows = [panels[i : i + _PANELS_IN_A_ROW] for i in range(0, len(panels), _PANELS_IN_A_ROW)]
    return curves.depth_curves(
        rows,
        f"clean representations and those of attacked images and controls: {_of(analysis)}",
        _measure(analysis).value_range,
    )


def _accuracy_page(analysis: Analysis) -> Figure:
    scores = dict.fromkeys(accuracy.score for accuracy in analysis.accuracies)
    groups = grouped(analysis.record.models)
    rows = [
        [
            curves.CurvePanel(
                "" if i else group.name,
                f"accuracy\n{PROBE_SCORES.get(score, score)}",
                _accuracy_curves(analysis, group, score),
            )
            for group in groups
        ]
        for i, score in enumerate(scores)
    ]
    return curves.depth_curves(
        rows, f"linear classifiers of the features at each layer: {_of(analysis)}"
    )


def _accuracy_curves(analysis: Analysis, group: Group, score: str) -> dict[str, list[Estimate]]:
    return {
        label: [
            Estimate(one.layer, one.value, one.n, one.low, one.high)
            for one in analysis.accuracies
            if (one.model, one.score) == (model, score)
        ]
        for model, label in group.labels.items()
    }


def _panel_page(analysis: Analysis, comparison: str, matrices: Sequence[Matrix]) -> Figure:
    layers = [matrix.similarity.columns.layers for matrix in matrices]
    most = heatmaps.panels_in_a_row(max(layers, key=len))
    places = _arranged(matrices, analysis.record.models, most)
    return heatmaps.panels(
        [[matrix and _panel(matrix) for matrix in row] for row in places],
        f"{comparison}: {_of(analysis)}",
        _meaning(analysis, comparison),
        measure=_measure(analysis),
    )


def _panel(matrix: Matrix) -> heatmaps.HeatmapPanel:
    one = matrix.rows == matrix.columns
    title = matrix.rows if one else f"↑ {matrix.rows}\n→ {matrix.columns}"
    return heatmaps.HeatmapPanel.of(matrix.similarity, title)


def _arranged(
    matrices: Sequence[Matrix], models: Sequence[ModelEntry], most: int
) -> list[list[Matrix | None]]:
    """Return the matrices by scheme, and by scenario from left to right.

    Where that leaves too many places empty, they are simply in order.
    """
    of = {model.name: model for model in models}
    at = {}
    for matrix in matrices:
        sides = of[matrix.rows], of[matrix.columns]
        schemes, scenarios = [side.scheme for side in sides], [side.scenario for side in sides]
        at[tuple(schemes), tuple(scenarios)] = matrix
    rows, columns = (list(dict.fromkeys(key[side] for key in at)) for side in (0, 1))
    full = len(matrices) >= _FULL * len(rows) * len(columns)
    if len(at) < len(matrices) or len(columns) > most or not full:
        return [list(matrices[i : i + most]) for i in range(0, len(matrices), most)]
    return [[at.get((row, column)) for column in columns] for row in rows]


def _overview_page(analysis: Analysis, comparison: str, matrices: Sequence[Matrix]) -> Figure:
    names = [model.name for model in analysis.record.models]
    return heatmaps.panels(
        [[_overview(matrices, names, summary) for summary in _OVERVIEWS]],
        f"{comparison}: {_of(analysis)}",
        _meaning(analysis, comparison),
        measure=_measure(analysis),
        numbers=True,
        upwards=False,
    )


def _overview(matrices: Sequence[Matrix], names: list[str], summary: str) -> heatmaps.HeatmapPanel:
    values = np.full((len(names), len(names)), np.nan)
    for matrix in matrices:
        first, second = sorted((names.index(matrix.rows), names.index(matrix.columns)))
        values[second, first] = summarised(matrix.similarity, summary).value
    # a triangle: nothing is above its first row, and nothing beside its last column
    below, beside = names[1:], names[:-1]
    return heatmaps.HeatmapPanel(_OVERVIEWS[summary], values[1:, :-1], below, beside, empty="white")


def _meaning(analysis: Analysis, comparison: str) -> str:
    """Return what is compared, and which images, where the models share adversarial ones."""
    shared_images = {
        matrix.similarity.rows.against
        for matrix in analysis.of_comparison(comparison)
        if matrix.similarity.rows.against not in ("", matrix.rows)
    }
    crossed = any(matrix.similarity.nulls for matrix in analysis.of_comparison(comparison))
    meaning = ": ".join((COMPARISONS[comparison].meaning, *sorted(shared_images)))
    return f"{meaning}; crossed out: as alike as by chance" if crossed else meaning


def _measure(analysis: Analysis) -> SimilarityMeasure:
    return find_measure(analysis.record.measure)


def _of(analysis: Analysis) -> str:
    """Return what the images are, for the title of a page."""
    data, threat = analysis.record.data, analysis.record.threat_model
    return f"{data.name} (n = {data.n}), {threat.norm} {threat.eps}"
