"""Every similarity measure keeps the laws of measures, alone and as it is estimated."""

from functools import partial

import pytest
import torch

from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.estimators import find_estimator
from clbench.probes.similarity.measures import MEASURES
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.testing.law import check, laws_for
from clbench.testing.measure_case import MeasureCase
from clbench.testing.measures import MEASURE_LAWS

CPU = torch.device("cpu")


def estimate(one, other, images, *, measure):
    """Compare what two networks return."""
    sides = [
        Representation(name, network, Inputs(images, "the same"))
        for name, network in (("one", one), ("other", other))
    ]
    options = {"device": CPU, "precision": "float64", "measure": measure}
    found = compare(sides, [("one", "other")], **options)
    return found.matrix("one", "other").entry("logits", "logits")


def case(row):
    """Return the case of a row of the table."""
    debiased = find_estimator(row).name.startswith("debiased")
    estimating = partial(estimate, measure=row.name)
    return MeasureCase(name=row.name, measure=row, estimate=estimating, debiased=debiased)


CASES = {name: case(row) for name, row in MEASURES.items()}
LAWFUL = [(name, law) for name, one in CASES.items() for law in laws_for(MEASURE_LAWS, one)]


@pytest.mark.parametrize(("name", "law"), LAWFUL, ids=map("-".join, LAWFUL))
def test_every_measure_keeps_the_laws(name, law):
    check(MEASURE_LAWS, CASES[name], [law])
