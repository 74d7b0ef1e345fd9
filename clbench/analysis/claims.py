"""What the paper says of robust representations, as rows: a statement, and how it is measured.

The paper is arXiv:2302.02502, in two versions with different titles and abstracts; its authors
have also released 51 matrices, and describe them in the README of their code.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

from clbench.analysis.inputs import END, STAGE, FindingInputs
from clbench.analysis.pages import DEPTH_CURVES
from clbench.analysis.statistics import jackknife_difference, spearman
from clbench.analysis.tables import shared
from clbench.probes.similarity.matrix import Summary
from clbench.probes.similarity.summaries import end_mean, long_range_mean, whole_mean
from clbench.schema.estimate import Estimate, undefined
from clbench.schema.threat_model import format_eps

SIMILARITY_AND_ROBUSTNESS = "similarity-and-robustness"
"""The figure of robust accuracy against similarity, which findings draw themselves."""


class Case(NamedTuple):
    """One measurement that speaks for or against a claim."""

    scheme: str
    measured: str
    effect: Estimate
    note: str = ""
    p_value: float = math.nan


class Claim(NamedTuple):
    """A statement, where it is made, and what estimates it; it holds if the effect has ``sign``.

    ``needs`` says what there are no cases without, ``remedy`` what to do where one lacks something.
    """

    name: str
    statement: str
    source: str
    figure: str
    cases: Callable[[FindingInputs], list[Case]]
    sign: Literal[1, -1] = 1
    needs: str = "models of a scheme"
    remedy: str = "give --probe FOLDER of clbench probe with these models, or --compare"


def _end_similarity(inputs: FindingInputs) -> list[Case]:
    """Adversarially trained less standard, at each of the last three places."""
    return [
        _changed(inputs, scheme, "at", "st", place)
        for scheme in inputs.schemes
        for place in (STAGE, "pool", "logits")
    ]


def _growth_with_eps(inputs: FindingInputs) -> list[Case]:
    """The largest eps of training less the smallest; standard training is eps 0."""
    known = (m.scheme for m in inputs.models if m.scheme or m.name in inputs.trained_at)
    return [_grown(inputs, scheme) for scheme in dict.fromkeys(known)]


def _cross_scheme(inputs: FindingInputs) -> list[Case]:
    """Adversarially trained less standard pairs of schemes, all layers with all layers."""
    return [
        _cross(inputs, *schemes, "mean over all pairs of layers", whole_mean)
        for schemes in inputs.scheme_pairs
    ]


def _cross_scheme_end(inputs: FindingInputs) -> list[Case]:
    """The same at the end of the networks."""
    return [
        _cross(inputs, *schemes, "mean of the last two layers", end_mean)
        for schemes in inputs.scheme_pairs
    ]


def _long_range(inputs: FindingInputs) -> list[Case]:
    """Adversarially trained less standard, between layers a third of the depth apart."""
    return [_within(inputs, scheme, "at", "st") for scheme in inputs.schemes]


def _long_range_full_at(inputs: FindingInputs) -> list[Case]:
    """Adversarially fine-tuned less adversarially pretrained, for the scheme of the claim."""
    return [_within(inputs, "simclr", "full_at", "at")] if "simclr" in inputs.schemes else []


def _similarity_and_robustness(inputs: FindingInputs) -> list[Case]:
    """Rank correlation over models: all of them, and without the standard ones."""
    return [_correlated(inputs, group, names) for group, names in inputs.groups.items()]


CLAIMS: dict[str, Claim] = {
    row.name: row
    for row in (
        Claim(
            "end-similarity",
            "Adversarial training makes adversarial and clean representations more alike at the "
            "end of the network.",
            "abstract of version 2",
            DEPTH_CURVES,
            _end_similarity,
        ),
        Claim(
            "growth-with-eps",
            "The larger the eps of training is, the more alike they are near the end.",
            "released matrices, eps 2/255, 8/255 and 16/255",
            DEPTH_CURVES,
            _growth_with_eps,
        ),
        Claim(
            "cross-scheme",
            "Adversarial training makes the representations of different schemes more alike.",
            "abstract of version 2",
            "cross-scheme",
            _cross_scheme,
            needs="models of two schemes",
        ),
        Claim(
            "cross-scheme-end",
            "It does so at the end of the networks too.",
            "abstract of version 2, which has no exception; in the released matrices the end stays "
            "unlike",
            "cross-scheme",
            _cross_scheme_end,
            needs="models of two schemes",
        ),
        Claim(
            "long-range",
            "Adversarial training makes distant layers of a network more alike.",
            "abstract of version 1",
            "clean-clean",
            _long_range,
        ),
        Claim(
            "long-range-full-at-raises",
            "In SimCLR, adversarial fine-tuning makes distant layers still more alike.",
            "README of the released code; contradicts the next claim",
            "clean-clean",
            _long_range_full_at,
            needs="simclr models",
        ),
        Claim(
            "long-range-full-at-lowers",
            "In SimCLR, adversarial fine-tuning makes distant layers less alike again.",
            "abstract of version 1, and the released matrices; contradicts the claim before",
            "clean-clean",
            _long_range_full_at,
            needs="simclr models",
            sign=-1,
        ),
        Claim(
            "similarity-and-robustness",
            "The more alike a model sees adversarial and clean images near the end, the more "
            "robust it is.",
            "abstract of version 2",
            SIMILARITY_AND_ROBUSTNESS,
            _similarity_and_robustness,
            remedy="run clbench eval on more models, with the same images and attack",
        ),
    )
}
"""All claims, in the order of the findings."""


def _changed(inputs: FindingInputs, scheme: str, more: str, less: str, place: str) -> Case:
    names = inputs.model(scheme, more), inputs.model(scheme, less)
    if not all(names):
        needed = f"{scheme}_{more}", f"{scheme}_{less}"
        return _missing(scheme, f"{' - '.join(needed)}, {place}", *needed)
    measured = f"{' - '.join(names)}, {place}"
    return Case(scheme, measured, inputs.difference(*names, place), inputs.how)


def _grown(inputs: FindingInputs, scheme: str) -> Case:
    at = inputs.by_training_eps(scheme)
    if len(at) < 2:  # noqa: PLR2004 - growth is between two points
        case = _changed(inputs, scheme, "at", "st", END)
        note = "two points only: from eps 0 (st) to that of at"
        return case._replace(note="; ".join(filter(None, (note, case.note))))
    names = list(at.values())
    steps = [inputs.difference(more, less, END).value for less, more in pairwise(names)]
    order = "at every step" if all(step > 0 for step in steps) else "not at every step"
    points = ", ".join(f"{format_eps(eps)} ({name})" for eps, name in at.items())
    note = f"eps of training {points}: it grows {order}; {inputs.how}"
    effect = inputs.difference(names[-1], names[0], END)
    return Case(scheme, f"{names[-1]} - {names[0]}, {END}", effect, note)


def _cross(inputs: FindingInputs, a: str, b: str, what: str, summary: Summary) -> Case:
    measured, scheme = f"at - st, {what}", f"{a} x {b}"
    names = [[inputs.model(one, scenario) for one in (a, b)] for scenario in ("at", "st")]
    matrices = [inputs.matrix("cross-scheme", *pair) for pair in names if all(pair)]
    if len(matrices) < 2 or matrices[0] is None or matrices[1] is None:  # noqa: PLR2004 - one of at, one of st
        return _missing(scheme, measured, "a cross-scheme matrix of at", "one of st")
    at, st = (
        shared(similarity) if summary is end_mean else similarity
        for similarity in matrices
        if similarity
    )
    return Case(scheme, measured, jackknife_difference(at.measure, at, st, summary), inputs.how)


def _within(inputs: FindingInputs, scheme: str, more: str, less: str) -> Case:
    names = [inputs.model(scheme, one) or f"{scheme}_{one}" for one in (more, less)]
    measured = f"{' - '.join(names)}, layers at least a third of the depth apart"
    matrices = [inputs.matrix("clean-clean", name) for name in names]
    one, other = matrices
    if one is None or other is None:
        return _missing(scheme, measured, f"a clean-clean matrix of {more}", f"one of {less}")
    effect = jackknife_difference(one.measure, one, other, long_range_mean)
    return Case(scheme, measured, effect, inputs.how)


def _correlated(inputs: FindingInputs, which: str, names: list[str]) -> Case:
    x = [inputs.similarity(name, END).value for name in names]
    y = [inputs.robust_acc(name).value for name in names]
    found = spearman("rho", x, y)
    note = "" if math.isnan(found.p_value) else "interval: models drawn with replacement"
    return Case(which, "Spearman's rho", found.estimate, note, found.p_value)


def _missing(scheme: str, measured: str, *needed: str) -> Case:
    return Case(scheme, measured, undefined("", 0, f"needs {' and '.join(needed)}"))
