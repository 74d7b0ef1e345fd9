"""Every similarity measure keeps the laws of measures, alone and as it is estimated."""

from functools import partial

import pytest
import torch

from clbench.probes.similarity.compare import compare
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
    found = compare(sides, [("one", "other")], device=CPU, measure=measure, precision="float64")
    return found.matrix("one", "other").entry("logits", "logits")


def case_of(row):
    """Return the case of a measure; what accumulates is debiased."""
    how = partial(estimate, measure=row.name)
    return MeasureCase(name=row.name, measure=row, estimate=how, debiased=row.accumulates)


CASES = {name: case_of(row) for name, row in MEASURES.items()}
LAWFUL = [(name, law) for name, case in CASES.items() for law in laws_for(MEASURE_LAWS, case)]


@pytest.mark.parametrize(("name", "law"), LAWFUL, ids=map("-".join, LAWFUL))
def test_every_measure_keeps_the_laws(name, law):
    check(MEASURE_LAWS, CASES[name], [law])
