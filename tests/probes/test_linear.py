import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from clbench.attacks.native.pgd import PGD
from clbench.data.image_set import make_image_set
from clbench.data.load import load_test_set, training_set
from clbench.evaluation.perturb import PROBE_ATTACK, perturb
from clbench.models import load_model
from clbench.models.backbones.resnet import build_backbone
from clbench.probes.layers import Layer, find_layers, select_layers
from clbench.probes.linear import solver
from clbench.probes.linear.fit import ProbedNetwork, fit_probes
from clbench.probes.linear.pooling import POOLINGS, AveragedOver, grid_of
from clbench.probes.linear.score import LayerScores, score_probes, stage_columns
from clbench.probes.linear.solver import PENALTIES, LinearClassifier, Rows, fit_logistic, why_unfit
from clbench.probes.linear.truncated import UpTo
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError
from clbench.schema.estimate import proportion
from clbench.schema.records import LINEAR_PROBE_COLUMNS
from clbench.schema.threat_model import ThreatModel

CPU = torch.device("cpu")
EPS = {"Linf": Fraction(1, 50), "L2": Fraction(1, 8)}
LINF = ThreatModel("Linf", Fraction(1, 10))
EVERYTHING = ThreatModel("Linf", Fraction(1))


def examples(images, labels):
    return make_image_set("test", images, labels, n_classes=int(labels.max()) + 1)


def fit(network, train, validation, *layers, **options):
    chosen = select_layers(network, layers)
    return fit_probes(network, train, validation, layers=chosen, seed=0, device=CPU, **options)


def score(probes, clean, adversarial=None, threat_model=LINF, **options):
    options = {"seed": 0, "device": CPU, "threat_model": threat_model} | options
    return score_probes(probes, clean, adversarial, **options)


@pytest.fixture
def network(small_resnet):
    """The small network, with gradients in spite of what it overwrites."""
    small_resnet.act1 = nn.SiLU()
    return small_resnet


@pytest.fixture
def blobs():
    """Return a factory of images whose brightness at some pixels tells their class."""
    centres = 0.4 + 0.2 * torch.rand(4, 1, 6, 6)

    def make(n, n_classes=4, noise=0.1):
        labels = torch.arange(n) % n_classes
        images = centres[labels] + noise * torch.randn(n, 1, 6, 6)
        return examples(images.clamp(0, 1), labels)

    return make


# --- what is attacked is the probe, end to end ---


@pytest.fixture(scope="module")
def linear_case():
    """A probe behind a linear network, and images whose ball does not reach the pixel bounds."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
    images = 0.3 + 0.4 * torch.rand(300, 1, 8, 8)
    side = images.flatten(1) @ torch.randn(64)
    everything = examples(images, (side > side.median()).long())
    (probe,) = fit(network, everything, everything, "1")
    classifier, inner = probe.network.classifier, network[1]
    slope = (classifier.weight[1] - classifier.weight[0]) @ inner.weight.double()
    with torch.no_grad():
        logits = probe.network(images).double()
    margins = (logits[:, 1] - logits[:, 0]) * (2 * everything.labels - 1)
    return probe, everything, margins, slope.detach()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("steps", [(40,), (5, 20)])
def test_behind_a_linear_network_the_adaptive_accuracy_is_the_exact_one(linear_case, norm, steps):
    probe, clean, margins, slope = linear_case
    eps = EPS[norm] / 4
    reach = float(eps) * (slope.abs().sum() if norm == "Linf" else slope.norm())
    decided = (margins / reach - 1).abs() > 0.02
    clean = examples(clean.images[decided], clean.labels[decided])
    attacks = [PGD(n) for n in steps]
    (found,) = score([probe], clean, attacks=attacks, threat_model=ThreatModel(norm, eps))
    exact = int((margins[decided] > reach).sum())
    assert 20 < exact < found.clean.value * len(clean.labels) - 20
    assert found.adaptive == proportion("probe_1_adaptive", exact, len(clean.labels))


def test_wide_margins_do_not_hide_the_way_to_the_boundary(linear_case):
    probe, clean, _, _ = linear_case
    up_to, averages, classifier = probe.network.children()
    steep = LinearClassifier(1000 * classifier.weight, 1000 * classifier.bias).module()
    confident = replace(probe, network=ProbedNetwork(up_to, averages, steep))
    with torch.no_grad():
        logits = confident.network(clean.images)
    assert functional.cross_entropy(logits, clean.labels, reduction="none").median() == 0
    options = {"attacks": [PGD(40)], "threat_model": ThreatModel("Linf", EPS["Linf"] / 4)}
    assert score([confident], clean, **options) == score([probe], clean, **options)


def test_an_attack_sees_only_examples_that_withstood_those_before(linear_case):
    probe, clean, _, _ = linear_case
    seen = []

    def break_even_ones(model, images, labels, threat_model, *, seed, index):
        seen.append(index.tolist())
        broken = torch.where(index[:, None, None, None] % 2 == 0, 1 - images, images)
        return broken if len(seen) == 1 else images

    options = {"threat_model": EVERYTHING, "batch_size": 1000}
    (found,) = score([probe], clean, attacks=[break_even_ones] * 2, **options)
    with torch.no_grad():
        right = (probe.network(clean.images).argmax(1) == clean.labels).nonzero()[:, 0]
        inverted = probe.network(1 - clean.images).argmax(1) == clean.labels
    robust = [i for i in right.tolist() if i % 2 or inverted[i]]
    assert seen == [right.tolist(), robust]
    assert found.adaptive.value == len(robust) / len(clean.labels)


def test_the_network_after_the_layer_is_not_run(network, blobs):
    probes = fit(network, blobs(40), blobs(20), "stage1.1")
    ran = []
    for block in (network.layer1[0], network.layer2[0]):
        block.register_forward_pre_hook(lambda module, _: ran.append(module))
    score(probes, blobs(20), attacks=[PGD(2)])
    assert set(ran) == {network.layer1[0]}


def test_features_are_those_of_the_layer_and_not_what_later_layers_make_of_them(network):
    images = torch.rand(3, 1, 6, 6)
    with torch.no_grad():
        stem = network.act1(network.conv1(images))
    found = UpTo(network, find_layers(network)["stem"])(images)
    assert found.equal(stem)
    assert found.requires_grad


class Loop(nn.Module):
    """Passes one module as often as it is told."""

    def __init__(self):
        super().__init__()
        self.again = nn.Linear(36, 36)
        self.passes = 2

    def forward(self, images):
        x = images.flatten(1)
        for _ in range(self.passes):
            x = self.again(x).relu()
        return x


def test_every_pass_through_a_layer_has_its_probe(blobs):
    network = Loop()
    probes = fit(network, blobs(40), blobs(20), "again")
    assert [probe.layer for probe in probes] == ["again", "again#2"]
    images = blobs(5).images
    with torch.no_grad():
        first = network.again(images.flatten(1))
        assert probes[0].network.up_to(images).equal(first)
        assert probes[1].network.up_to(images).equal(network.again(first.relu()))


def test_a_layer_that_images_pass_less_often_later_is_an_error_in_one_line(blobs):
    network = Loop()
    probes = fit(network, blobs(40), blobs(20), "again")
    network.passes = 1
    with pytest.raises(ModelError, match=r"all images must pass a probed layer as often.*got 1"):
        score(probes, blobs(20))


def test_the_input_of_a_module_can_be_probed(blobs):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 5))
    (probe,) = fit_probes(
        network,
        blobs(40),
        blobs(20),
        layers={"in": Layer(network[1], "input")},
        seed=0,
        device=CPU,
    )
    images = blobs(5).images
    assert probe.network.up_to(images).equal(images.flatten(1))


def test_the_folded_copy_of_our_networks_gives_the_same_logits(blobs):
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=4).eval()
    copies = {}
    for probe in fit(network, blobs(60), blobs(20), "stem", "stage3.1", "pool", "layer1.0.conv1"):
        folded = copies[probe.layer] = probe.network.folded()
        images = blobs(8).images
        with torch.no_grad():
            torch.testing.assert_close(folded(images), probe.network(images), rtol=0, atol=1e-3)
    assert copies["stage3.1"].up_to.network is not network
    assert copies["layer1.0.conv1"].up_to.network is network, "its batch norm is folded into it"


# --- the classifier is scikit-learn's, chosen on validation images ---


def rows(n=120, d=6, n_classes=3, seed=0, noise=0.7):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % n_classes
    centres = torch.randn(n_classes, d, generator=torch.Generator().manual_seed(9))
    x = centres[y] + noise * torch.randn(n, d, generator=generator)
    return Rows(x * torch.logspace(-3, 3, d) + torch.linspace(-50, 50, d), y)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_classifier_gives_the_decision_values_of_scikit_learn(n_classes):
    train, new = rows(n_classes=n_classes), rows(seed=1).x
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    pipeline.fit(train.x.double().numpy(), train.y.numpy())
    scaler, fitted = pipeline
    classifier = solver._folded(
        solver._rows(fitted),
        torch.from_numpy(scaler.mean_),
        torch.from_numpy(scaler.scale_).reciprocal(),
    )
    with torch.no_grad():
        logits = classifier.module()(new.double())
    assert logits.equal(classifier(new))
    if n_classes == 2:
        logits = logits[:, 1] - logits[:, 0]
    expected = pipeline.decision_function(new.double().numpy())
    np.testing.assert_allclose(logits.numpy(), expected, rtol=0, atol=1e-5)


def test_a_probe_gives_the_decision_values_of_its_fit_in_single_precision(network, blobs):
    train, validation, new = blobs(80), blobs(40), blobs(30)
    (probe,) = fit(network, train, validation, "stage2.0", pooling="spatial")

    def features(one):
        with torch.no_grad():
            return Rows(UpTo(network, Layer(network.layer2[0]))(one.images).flatten(1), one.labels)

    expected = fit_logistic(features(train), features(validation)).classifier(features(new).x)
    with torch.no_grad():
        found = probe.network(new.images)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_fit_is_as_good_as_that_of_a_cold_start(penalty):
    train = rows()
    ours = next(one for one in solver._fits(train) if one.penalty == penalty)
    x = StandardScaler().fit_transform(train.x.double().numpy())
    cold = LogisticRegression(C=1 / (penalty * len(x)), max_iter=10_000, tol=1e-8)
    cold.fit(x, train.y.numpy())
    scale = torch.from_numpy(train.x.double().numpy().std(axis=0))

    def objective(weight, logits):
        added = penalty / 2 * weight.square().sum()
        return float(functional.cross_entropy(logits, train.y) + added)

    best = objective(torch.from_numpy(cold.coef_), torch.from_numpy(cold.decision_function(x)))
    assert ours.converged
    assert objective(ours.classifier.weight * scale, ours.classifier(train.x)) < best + 2e-4


def test_the_penalty_is_the_one_that_suits_the_validation_examples():
    train, validation = rows(n=60, noise=1), rows(n=300, noise=1, seed=1)
    losses = {
        one.penalty: float(functional.cross_entropy(one.classifier(validation.x), validation.y))
        for one in solver._fits(train)
    }
    chosen = fit_logistic(train, validation)
    assert losses[chosen.penalty] == min(losses.values())
    assert PENALTIES[0] > chosen.penalty > PENALTIES[-1]
    right = int((chosen.classifier(validation.x).argmax(1) == validation.y).sum())
    assert chosen.validation_right == right


def test_a_class_without_examples_is_never_predicted_and_hides_no_gradient(blobs):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8))

    def without_class_1(one):
        return examples(one.images[one.labels != 1], one.labels[one.labels != 1])

    (probe,) = fit(network, without_class_1(blobs(80)), blobs(40), "1")
    test = blobs(40)
    images = test.images.requires_grad_()
    logits = probe.network(images)
    assert logits.shape == (40, 4)
    assert (logits[:, 1] == -math.inf).all()
    assert torch.autograd.grad(logits.logsumexp(1).sum(), images)[0].isfinite().all()
    (found,) = score([probe], blobs(40), attacks=[PGD(5)])
    assert found.clean.value <= 0.75
    assert found.adaptive.value < found.clean.value


def test_classes_that_were_never_fitted_are_wrong(blobs):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8))
    (probe,) = fit(network, blobs(60, n_classes=2), blobs(20, n_classes=2), "1")
    (found,) = score([probe], blobs(40), attacks=[PGD(5)])
    assert found.adaptive.value <= found.clean.value <= 0.5


def test_a_solver_that_does_not_come_to_its_end_is_recorded(monkeypatch):
    monkeypatch.setattr(solver, "MOST_STEPS", 2)
    assert not fit_logistic(rows(), rows(seed=1)).converged


def test_features_that_vary_by_rounding_only_have_no_weight():
    train = rows()
    noise = 5 * (1 + torch.rand(120) * 2e-7)
    x = torch.cat([train.x, noise[:, None], torch.full((120, 1), 3.0)], dim=1)
    fitted = fit_logistic(Rows(x, train.y), Rows(x, train.y))
    assert (fitted.classifier.weight[:, -2:] == 0).all()
    assert (fitted.classifier.weight[:, :-2] != 0).all()


# --- what features keep of the place in the image ---


def test_pooled_features_are_averages_over_the_map(network, blobs):
    (probe,) = fit(network, blobs(40), blobs(20), "stage1.1")
    images = blobs(5).images
    averages = probe.network.averages(probe.network.up_to(images))
    expected = probe.network.up_to(images).mean(dim=(2, 3))
    torch.testing.assert_close(averages, expected)
    assert (probe.pooling, probe.positions, probe.grid, probe.n_features) == (
        *("pooled", (6, 6), (1, 1)),
        3,
    )


def test_spatial_features_are_all_features(network, blobs):
    pool, stage = fit(network, blobs(40), blobs(20), "stage1.1", "pool", pooling="spatial")[::-1]
    assert (stage.pooling, stage.grid, stage.n_features) == ("spatial", (6, 6), 108)
    assert (pool.positions, pool.grid, pool.n_features) == ((), (), 3)
    features = stage.network.up_to(blobs(5).images)
    assert stage.network.averages(features).equal(features.flatten(1))


@pytest.mark.parametrize(
    ("shape", "pooled", "spatial"),
    [
        ((2, 64, 32, 32), (1, 1), (8, 8)),
        ((2, 16, 8, 8), (1, 1), (8, 8)),
        ((2, 512, 4, 4), (1, 1), (2, 2)),
        ((2, 5000, 2, 2), (1, 1), (1, 1)),
        ((2, 64, 100, 2), (1, 1), (8, 2)),
        ((2, 197, 192), (1,), (21,)),
        ((2, 50, 64), (1,), (50,)),
        ((2, 9000), (), ()),
        ((2,), (), ()),
    ],
)
def test_wide_features_are_averaged_over_the_finest_grid_that_fits(shape, pooled, spatial):
    features = torch.rand(shape)
    for pooling, grid in (("pooled", pooled), ("spatial", spatial)):
        assert grid_of(POOLINGS[pooling], features) == grid
        averages = AveragedOver(grid)(features)
        assert averages.ndim == 2
        torch.testing.assert_close(averages.mean(), features.mean(), rtol=0, atol=0.02)


def test_tokens_are_averaged_channel_by_channel():
    features = torch.rand(3, 12, 5)
    torch.testing.assert_close(AveragedOver((1,))(features), features.mean(dim=1))
    halves = torch.stack([features[:, :6].mean(dim=1), features[:, 6:].mean(dim=1)], dim=2)
    torch.testing.assert_close(AveragedOver((2,))(features), halves.flatten(1))


def test_an_unknown_pooling_is_refused(network, blobs):
    with pytest.raises(UnknownNameError, match="unknown pooling 'poled'; did you mean 'pooled'"):
        fit(network, blobs(40), blobs(20), pooling="poled")


# --- what cannot be fitted or scored has a reason ---


class Odd(nn.Module):
    """Layers with every kind of useless features."""

    def __init__(self):
        super().__init__()
        self.constant, self.infinite, self.text = nn.Identity(), nn.Identity(), Words()

    def forward(self, images):
        x = images.flatten(1)
        self.constant(0 * x + 3)
        self.infinite(x / 0)
        self.text(x)
        return x


class Words(nn.Module):
    def forward(self, x):
        return ["no", "tensor"]


def test_useless_features_have_a_reason_and_no_error(blobs):
    probes = fit(Odd(), blobs(40), blobs(20), "constant", "infinite", "text", "logits")
    reasons = {probe.layer: probe.reason for probe in probes}
    assert reasons == {
        "constant": "features do not vary",
        "infinite": "features are not finite",
        "logits": "",
        "text": "no tensor with one row per example passes there",
    }
    scores = score(probes, blobs(20), blobs(20, noise=0.1).images, attacks=[PGD(2)])
    for probe, found in zip(probes, scores, strict=True):
        assert [measure.reason for measure in found.estimates] == [probe.reason] * 3
        assert all(math.isnan(measure.value) == bool(probe.reason) for measure in found.estimates)
        assert math.isnan(probe.validation_acc.value) == bool(probe.reason)


@pytest.mark.parametrize(
    ("n_train", "n_validation", "n_classes", "reason"),
    [
        (3, 20, 4, "fewer than 4 examples"),
        (1, 20, 4, "fewer than 4 examples"),
        (40, 20, 1, "all examples to fit on are of one class"),
        (40, 3, 4, "fewer than 4 validation examples of the classes to fit on"),
    ],
)
def test_too_little_to_fit_on_has_a_reason_and_no_error(
    network, blobs, n_train, n_validation, n_classes, reason
):
    probes = fit(network, blobs(n_train, n_classes), blobs(n_validation, n_classes), "pool")
    assert [(probe.reason, probe.network) for probe in probes] == [(reason, None)]


def test_validation_examples_of_other_classes_do_not_choose():
    train, validation = rows(), rows(n=12, seed=1)
    strange = Rows(validation.x, validation.y + 3)
    assert why_unfit(train, strange) == "fewer than 4 validation examples of the classes to fit on"
    both = Rows(torch.cat([validation.x, strange.x]), torch.cat([validation.y, strange.y]))
    assert fit_logistic(train, both).penalty == fit_logistic(train, validation).penalty


def test_too_few_examples_to_score_on_have_a_reason_and_no_error(network, blobs):
    probes = fit(network, blobs(40), blobs(20), "pool")
    (found,) = score(probes, blobs(3), attacks=[PGD(2)])
    assert {measure.reason for measure in found.estimates} == {"fewer than 4 examples"}


def test_what_was_not_given_is_said(network, blobs):
    (found,) = score(fit(network, blobs(40), blobs(20), "pool"), blobs(20))
    assert found.clean.reason == ""
    assert found.adv.reason == "no adversarial images were given"
    assert found.adaptive.reason == "no attack was given"


def test_logits_that_are_no_numbers_are_wrong(blobs):
    class Fragile(nn.Module):
        def forward(self, images):
            x = images.flatten(1)
            return x.where(x.mean(1, keepdim=True) < 0.9, torch.nan)

    network = Fragile()
    probes = fit(network, blobs(40), blobs(20), "logits")

    def whiten(model, images, labels, threat_model, *, seed, index):
        return torch.ones_like(images)

    (found,) = score(probes, blobs(20), attacks=[whiten], threat_model=EVERYTHING)
    assert found.clean.value > 0
    assert found.adaptive.value == 0


def not_numbers(model, images, labels, threat_model, *, seed, index):
    return torch.full_like(images, torch.nan)


def other_images(model, images, labels, threat_model, *, seed, index):
    return images.roll(1, 0)


def outside_of_pixels(model, images, labels, threat_model, *, seed, index):
    return images - float(threat_model.eps)


def twice_eps(model, images, labels, threat_model, *, seed, index):
    wider = ThreatModel(threat_model.norm, 2 * threat_model.eps)
    return PGD(10)(model, images, labels, wider, seed=seed, index=index)


def nothing(model, images, labels, threat_model, *, seed, index):
    return images


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", [not_numbers, other_images, outside_of_pixels, twice_eps])
def test_what_an_attack_may_not_return_breaks_nothing_and_is_told(blobs, attack, norm):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 12))
    probes, clean = fit(network, blobs(60), blobs(20), "1"), blobs(60)
    clean = examples((clean.images * 3 - 1).clamp(0, 1), clean.labels)  # with pixels at both bounds
    options = {"threat_model": ThreatModel(norm, Fraction(1, 10))}
    (honest,) = score(probes, clean, attacks=[nothing], **options)
    (found,) = score(probes, clean, attacks=[attack], **options)
    assert honest.adaptive.reason == ""
    assert found.adaptive.value == pytest.approx(honest.adaptive.value, abs=0.05)
    assert "images that attacks returned are not allowed" in found.adaptive.reason


def test_a_probe_that_is_wrong_about_everything_is_not_attacked(blobs):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8))
    probes = fit(network, blobs(60, n_classes=2), blobs(20, n_classes=2), "1")
    others = examples(blobs(20).images, torch.full((20,), 3))
    (found,) = score(probes, others, attacks=[PGD(2), PGD(2)])
    assert (found.clean.value, found.adaptive.value) == (0, 0)


def test_adversarial_images_of_another_order_are_refused(network, blobs):
    probes, clean = fit(network, blobs(40), blobs(20), "pool"), blobs(20)
    with pytest.raises(BadValueError, match="adversarial images must be in the order"):
        score(probes, clean, clean.images.roll(1, dims=0))


# --- runs leave nothing behind and repeat ---


def state_of(network):
    return (
        [module.training for module in network.modules()],
        [
            (len(module._forward_hooks), len(module._forward_pre_hooks))
            for module in network.modules()
        ],
        [parameter.requires_grad for parameter in network.parameters()],
        [parameter.grad for parameter in network.parameters()],
    )


def test_equal_seeds_give_equal_results_and_nothing_is_left_behind(network, blobs):
    train, validation, clean = blobs(40), blobs(20), blobs(20)
    network.train()
    network.layer1.eval()
    network.conv1.weight.requires_grad_(False)
    before = state_of(network)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()

    def run():
        probes = fit(network, train, validation, "stage1.1", "logits")
        return probes, score(probes, clean, clean.images, attacks=[PGD(3)])

    (first, scores), (second, again) = run(), run()
    assert scores == again
    for one, other in zip(first, second, strict=True):
        assert one.penalty == other.penalty
        assert one.network.classifier.weight.equal(other.network.classifier.weight)
    assert state_of(network) == before
    assert all(value.equal(weights[name]) for name, value in network.state_dict().items())
    assert torch.get_rng_state().equal(random_state)
    assert torch.is_grad_enabled()


def test_hooks_are_gone_after_an_exception(network, blobs):
    probes = fit(network, blobs(40), blobs(20), "stage2.0")
    network.train()
    before, calls = state_of(network), []

    def fail_later(*_):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("the network broke")

    fault = network.layer1.register_forward_hook(fail_later)
    with pytest.raises(RuntimeError, match="the network broke"):
        score(probes, blobs(20), attacks=[PGD(5)])
    calls.clear()
    with pytest.raises(RuntimeError, match="the network broke"):
        fit(network, blobs(40), blobs(20), batch_size=8)
    fault.remove()
    assert state_of(network) == before
    assert torch.is_grad_enabled()


def test_results_do_not_depend_on_the_batch_size(network, blobs):
    clean = blobs(30)
    few, many = (fit(network, blobs(40), blobs(20), "pool", batch_size=n) for n in (7, 100))
    few, many = (score(few, clean, attacks=[PGD(5)], batch_size=n) for n in (7, 100))
    assert few == many


def test_progress_is_told_layer_by_layer(network, blobs):
    told = []

    def tell(*progress):
        told.append(progress)

    probes = fit(network, blobs(40), blobs(20), "stem", "pool", on_progress=tell)
    score(probes, blobs(20), on_progress=tell)
    steps = [(1, 2), (2, 2)]
    doing = ("fitting linear probes", "attacking linear probes")
    assert told == [(what, *step) for what in doing for step in steps]


# --- columns ---


def scores_of(*layers):
    return [
        LayerScores(
            layer,
            *(proportion(f"probe_{layer}_{kind}", k, 10) for kind in ("clean", "adv", "adaptive")),
        )
        for k, layer in enumerate(layers)
    ]


def test_the_columns_are_those_of_the_ends_of_the_stages():
    scores = scores_of("stem", "stage1.0", "stage1.1", "stage2.0", "stage2.1", "pool", "logits")
    columns = stage_columns(scores, n=10)
    assert tuple(column.name for column in columns) == LINEAR_PROBE_COLUMNS
    assert LINEAR_PROBE_COLUMNS[:4] == (
        *("probe_stage1_clean", "probe_stage1_adv", "probe_stage1_adaptive"),
        "probe_stage2_clean",
    )
    assert [column.value for column in columns[:6]] == [0.2] * 3 + [0.4] * 3
    assert {column.reason for column in columns[6:]} == {"the network has no such layer"}


def test_more_than_four_stages_are_shown_by_quarters():
    columns = stage_columns(scores_of(*(f"stage{k}" for k in range(1, 9))), n=10)
    assert [column.value for column in columns[::3]] == [0.1, 0.3, 0.5, 0.7]


# --- a trained network ---


@pytest.fixture(scope="module")
def digits():
    """Probes of one network of the zoo at three layers, and their scores on the test images."""
    network = load_model("simclr_at", dataset="digits").network
    train, validation = training_set("digits", "train"), training_set("digits", "validation")
    image_set, threat_model = load_test_set("digits"), ThreatModel("Linf", Fraction(1, 6))
    adversarial = perturb(network, image_set, threat_model, seed=0, batch_size=None, device=CPU)
    probes = fit(network, train, validation, "stage1.1", "stage3.1", "logits")
    options = {"attacks": [PGD(10), PROBE_ATTACK], "threat_model": threat_model}
    scores = score(probes, image_set, adversarial, **options)
    with torch.no_grad():
        accs = [
            float((network(x).argmax(1) == image_set.labels).double().mean())
            for x in (image_set.images, adversarial)
        ]
    return probes, {found.layer: found for found in scores}, accs


def test_the_probe_of_the_logits_is_about_as_good_as_the_network(digits):
    _, scores, (clean_acc, robust_acc) = digits
    logits = scores["logits"]
    assert logits.clean.value == pytest.approx(clean_acc, abs=0.02)
    assert logits.adv.value == pytest.approx(robust_acc, abs=0.05)
    assert logits.adaptive.value == pytest.approx(robust_acc, abs=0.05)


def test_an_adaptive_attack_finds_more_than_a_transferred_one(digits):
    _, scores, _ = digits
    for found in scores.values():
        assert found.adaptive.value <= found.clean.value
        assert found.adaptive.value <= found.adv.value + 0.01
        assert all(measure.low <= measure.value <= measure.high for measure in found.estimates)
        assert {measure.n for measure in found.estimates} == {360}
    assert scores["stage1.1"].adaptive.value < 0.02
    assert scores["stage1.1"].adv.value > 0.15


def test_probes_of_deeper_layers_are_better(digits):
    probes, scores, _ = digits
    assert [probe.layer for probe in probes] == ["stage1.1", "stage3.1", "logits"]
    assert all(probe.converged for probe in probes)
    assert scores["stage1.1"].clean.value < scores["stage3.1"].clean.value
