"""What stands beside the similarity of clean and adversarial images, instead of zero."""

import math
from dataclasses import replace

from clbench.analysis.comparisons import pixels, untrained
from clbench.analysis.result import Analysis, Matrix
from clbench.analysis.tables import shared, summarised
from clbench.probes.controls import PIXELS
from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.schema.estimate import Estimate, undefined


def matrices_beside(analysis: Analysis, model: str) -> dict[str, SimilarityMatrix]:
    """Return the controls of a model that were compared, by what they are."""
    found = {
        "noise": analysis.find("noise-clean", model),
        "untrained": analysis.find("untrained", untrained(model)),
        PIXELS: analysis.find("pixels", pixels(model)),
    }
    return {what: matrix for what, matrix in found.items() if matrix is not None}


def beside(analysis: Analysis, matrix: Matrix) -> dict[str, list[Estimate]]:
    """Return a model's similarity by layer, and that of its controls at the same layers.

    The pixels are the same beside every layer. A layer that a control lacks is undefined there.
    """
    attacked = shared(matrix.similarity).diagonal()
    names = [one.name for one in attacked]
    curves = {"attacked": attacked}
    for what, control in matrices_beside(analysis, matrix.rows).items():
        by_name = {one.name: one for one in shared(control).diagonal()}
        if what == PIXELS:
            by_name = {name: replace(by_name[PIXELS], name=name) for name in names}
        missing = undefined("", matrix.similarity.n, "the control has no such layer")
        curves[what] = [by_name.get(name, replace(missing, name=name)) for name in names]
    return curves


def mean_beside(analysis: Analysis, model: str) -> dict[str, str]:
    """Return the mean over the layers of each control of a model, as it is shown."""
    means = {
        what: summarised(control, "diagonal_mean").value
        for what, control in matrices_beside(analysis, model).items()
    }
    return {what: "undefined" if math.isnan(v) else f"{v:.3f}" for what, v in means.items()}
