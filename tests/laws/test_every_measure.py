"""Every similarity measure keeps the laws of measures, alone and as it is estimated."""

from types import SimpleNamespace

import pytest
import torch

from clbench.probes.similarity.cka import cka_from_hsic
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.gram import centred_gram
from clbench.probes.similarity.representations import Inputs, View
from clbench.testing.law import check, laws_for
from clbench.testing.measure_case import MeasureCase
from clbench.testing.measures import MEASURE_LAWS

CPU = torch.device("cpu")


def estimate(one, other, images):
    """Compare what two networks return."""
    views = [
        View(name, network, Inputs(images, "the same"))
        for name, network in (("one", one), ("other", other))
    ]
    found = compare(views, [("one", "other")], device=CPU, precision="float64")
    return found.block("one", "other").entry("logits", "logits")


def cases():
    """Return a case for every measure."""
    cka = SimpleNamespace(
        name="cka",
        value_range=(0.0, 1.0),
        invariant_to=frozenset({"permutation", "orthogonal", "scale", "shift"}),
        reduce=centred_gram,
        score=lambda k, l: cka_from_hsic((k * l).sum(), (k * k).sum(), (l * l).sum()),  # noqa: E741
        permute=lambda gram, order: gram[order][:, order],
    )
    return {"cka": MeasureCase(name="cka", measure=cka, estimate=estimate, debiased=True)}


CASES = cases()
LAWFUL = [(name, law) for name, case in CASES.items() for law in laws_for(MEASURE_LAWS, case)]


@pytest.mark.parametrize(("name", "law"), LAWFUL, ids=map("-".join, LAWFUL))
def test_every_measure_keeps_the_laws(name, law):
    check(MEASURE_LAWS, CASES[name], [law])
