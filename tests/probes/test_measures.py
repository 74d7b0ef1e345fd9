"""Measures other than CKA are compared, listed and drawn as it is."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from clbench.analysis.figures.heatmaps import heatmap
from clbench.models.backbones.resnet import build_backbone
from clbench.probes.clean_adversarial import clean_adversarial_similarity
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.estimators import ESTIMATORS, find_estimator
from clbench.probes.similarity.measures import CKA, MEASURES, MUTUAL_KNN, RBF_CKA
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.records import CKA_COLUMNS, similarity_columns
from clbench.testing.measures import check_measure

CPU = torch.device("cpu")
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))


def represented(name, network, images):
    return Representation(name, network, Inputs(images, "the same"))


def test_a_measure_of_the_full_set_is_compared_layer_by_layer(small_resnet, pairs_of_images):
    clean, changed = pairs_of_images(48)
    sides = [
        represented(name, small_resnet, x) for name, x in zip("ab", (clean, changed), strict=True)
    ]
    found = compare(sides, device=CPU, measure="mutual_knn").matrix("a", "b")
    assert (found.measure, found.estimator, found.n) == ("mutual_knn", "full-set", 48)
    assert found.rows.layers == (
        "stem",
        "stage1.0",
        "stage1.1",
        "stage2.0",
        "stage2.1",
        "pool",
        "logits",
    )
    with torch.no_grad():
        logits = small_resnet(clean), small_resnet(changed)
    expected = MUTUAL_KNN.score(*map(MUTUAL_KNN.reduce, logits))
    measured = found.entry("logits", "logits")
    assert measured.value == pytest.approx(float(expected))
    assert measured.low < measured.value < measured.high
    assert compare(sides, device=CPU, measure="mutual_knn").matrix(
        "a", "a"
    ).values.diagonal() == pytest.approx(1)


def test_what_a_measure_of_the_full_set_cannot_see_has_a_reason():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    nn.init.zeros_(network[1].weight)
    (side,) = [represented("a", network, torch.rand(20, 1, 2, 2))]
    found = compare([side], device=CPU, measure="mutual_knn").matrix("a", "a")
    reasons = dict(zip(found.rows.layers, found.rows.reasons, strict=True))
    assert reasons == {"pool": "", "logits": "features do not vary"}
    assert math.isnan(found.entry("logits", "pool").value)
    assert found.entry("pool", "pool").value == 1
    few = compare(
        [represented("a", network, torch.rand(3, 1, 2, 2))], device=CPU, measure="mutual_knn"
    )
    assert few.matrix("a", "a").entry("pool", "pool").reason == "fewer than 4 examples"


def test_a_measure_that_accumulates_is_averaged_over_minibatches(related):
    x, y = (side / 8 for side in related(15))
    sides = [represented(n, nn.Identity(), v[:, :, None, None]) for n, v in (("x", x), ("y", y))]
    options = {"device": CPU, "measure": "rbf_cka", "precision": "float64"}
    found = compare(sides, [("x", "y")], **options).matrix("x", "y")
    expected = RBF_CKA.score(RBF_CKA.reduce(x), RBF_CKA.reduce(y))
    assert found.estimator == "debiased-minibatch"
    assert found.entry("logits", "logits").value == pytest.approx(float(expected), abs=1e-12)
    assert float(expected) != pytest.approx(
        float(CKA.score(CKA.reduce(x), CKA.reduce(y))), abs=1e-3
    )


@pytest.mark.parametrize(
    ("measure", "estimator", "message"),
    [
        ("rsa", "debiased", "estimator 'debiased' is not for rsa; choose full-set"),
        ("rbf_cka", "biased", "estimator 'biased' is not for rbf_cka; choose debiased-minibatch"),
        (
            "cka",
            "full-set",
            "'full-set' is not for cka; choose debiased-minibatch or debiased or b",
        ),
    ],
)
def test_an_estimator_that_is_not_for_the_measure_is_refused(measure, estimator, message):
    side = represented("a", nn.Identity(), torch.rand(8, 1, 2, 2))
    with pytest.raises(BadValueError, match=message):
        compare([side], device=CPU, measure=measure, estimator=estimator)


def test_an_unknown_measure_is_met_with_the_nearest():
    side = represented("a", nn.Identity(), torch.rand(8, 1, 2, 2))
    with pytest.raises(UnknownNameError, match=r"unknown measure 'ckaa'; did you mean 'cka'\?"):
        compare([side], device=CPU, measure="ckaa")


def test_columns_and_figures_are_called_after_their_measure(pairs_of_images):
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    clean, changed = pairs_of_images(24, shape=(1, 8, 8))
    columns = clean_adversarial_similarity(
        network, clean, changed, device=CPU, measure="mutual_knn"
    )
    assert tuple(one.name for one in columns) == similarity_columns("mutual_knn")
    assert [one.name.replace("mutual_knn", "cka") for one in columns] == list(CKA_COLUMNS)
    side = represented("a", network, clean)
    found = compare([side], device=CPU, measure="mutual_knn").matrix("a", "a")
    figure = heatmap(found)
    assert figure.axes[-1].get_ylabel() == "mutual k-NN"


@every_measure
def test_every_measure_has_a_usual_estimator(measure):
    assert find_estimator(measure) in ESTIMATORS.values()


@pytest.mark.parametrize("measure", [MUTUAL_KNN, RBF_CKA], ids=lambda row: row.name)
def test_a_measure_that_claims_more_than_it_keeps_fails_a_law(measure):
    check_measure(measure)
    claims_more = replace(measure, invariant_to=measure.invariant_to | {"linear"})
    with pytest.raises(AssertionError, match="keeps_its_invariances"):
        check_measure(claims_more)


@pytest.mark.parametrize("measure", [row for row in MEASURES.values() if row.quick])
def test_a_quick_reduction_gives_nearly_the_same_score(measure):
    x = torch.randn(40, 4096) @ torch.diag(torch.logspace(0, -2, 4096))
    y = x.roll(1, 1) + 0.5 * torch.randn(40, 4096)
    quick, exact = (
        float(measure.score(reduce(x), reduce(y))) for reduce in (measure.quick, measure.reduce)
    )
    assert quick == pytest.approx(exact, abs=1e-6)
    assert quick != exact


@every_measure
@pytest.mark.parametrize("n", [4, 7])
def test_a_handful_of_examples_has_a_value_without_an_interval_or_a_reason(measure, n):
    sides = [represented(name, nn.Identity(), torch.randn(n, 1, 1, 1)) for name in "ab"]
    found = compare(sides, device=CPU, measure=measure.name).matrix("a", "b")
    one = found.entry("logits", "logits")
    assert math.isnan(one.low)
    said = one.reason.endswith("no interval") if math.isfinite(one.value) else one.reason
    assert said


@pytest.mark.parametrize("measure", ["svcca", "pwcca"])
def test_canonical_correlations_of_few_examples_are_undefined_and_it_is_said_why(measure):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    sides = [represented(name, network, torch.rand(18, 1, 4, 4)) for name in "ab"]
    found = compare(sides, device=CPU, measure=measure).matrix("a", "b")
    assert found.entry("pool", "pool").reason == (
        "both together have as many directions as there are examples"
    )
    assert 0 < found.entry("logits", "logits").value < 1
