"""What every row of PROBES promises, whatever it measures."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import chain

import pytest
import torch

from clbench.attacks.native.pgd import PGD
from clbench.data.load import load_test_set, training_set
from clbench.models.backbones.resnet import build_backbone
from clbench.probes.interface import Probed
from clbench.probes.table import PROBES, Probe
from clbench.schema.threat_model import ThreatModel

CPU = torch.device("cpu")
every_probe = pytest.mark.parametrize("row", PROBES.values(), ids=list(PROBES))


@pytest.fixture
def network():
    return build_backbone("resnet18_w16", in_chans=1, num_classes=10)


@pytest.fixture(scope="module")
def clean():
    return load_test_set("digits", n_examples=96)


@pytest.fixture(scope="module")
def training():
    return training_set("digits", "train").at_most(160), training_set("digits", "validation")


@pytest.fixture
def probed(network, clean, training):
    return Probed(
        network=network,
        clean=clean,
        adversarial=(clean.images + 0.15 * torch.randn_like(clean.images).sign()).clamp(0, 1),
        device=CPU,
        threat_model=ThreatModel("Linf", Fraction(1, 6)),
        attacks=(PGD(steps=2),),
        training=training,
    )


def everything(network):
    """What a probe must leave alone: values, gradients, modes and hooks of a network."""
    tensors = chain(network.named_parameters(), network.named_buffers())
    return (
        {name: tensor.detach().clone() for name, tensor in tensors},
        {
            name: None if p.grad is None else p.grad.clone()
            for name, p in network.named_parameters()
        },
        {name: p.requires_grad for name, p in network.named_parameters()},
        {name: module.training for name, module in network.named_modules()},
        {
            name: (list(module._forward_hooks), list(module._forward_pre_hooks))
            for name, module in network.named_modules()
        },
    )


def assert_same(after, before):
    for found, expected in zip(after[:2], before[:2], strict=True):
        for name, tensor in expected.items():
            assert found[name] is tensor is None or found[name].equal(tensor)
    assert after[2:] == before[2:]


def test_names_of_columns_are_unique_over_all_probes():
    columns = list(chain.from_iterable(row.columns for row in PROBES.values()))
    assert len(columns) == len(set(columns))
    assert [row.name for row in PROBES.values()] == list(PROBES)


@every_probe
def test_a_probe_gives_its_columns_in_order(row, probed):
    assert isinstance(row.probe, Probe)
    measures = row.probe(probed)
    assert tuple(measure.name for measure in measures) == row.columns


@every_probe
def test_a_trained_size_network_gives_numbers_in_range(row, probed):
    for measure in row.probe(probed):
        assert math.isfinite(measure.value), measure
        assert -1 <= measure.value <= 1
        assert measure.low <= measure.value <= measure.high
        assert measure.n == 96
        assert measure.reason == ""


@every_probe
def test_the_same_images_give_the_same_numbers(row, probed):
    first = row.probe(probed)
    assert row.probe(probed) == first


@every_probe
def test_the_network_is_left_as_found(row, probed):
    network = probed.network
    network.train()
    network.layer2.eval()
    network.bn1.weight.requires_grad_(False)
    network.fc.weight.grad = torch.ones_like(network.fc.weight)
    network.layer1.register_forward_hook(lambda *_: None)
    before, random_state = everything(network), torch.get_rng_state()
    images = probed.clean.images.clone(), probed.adversarial.clone()
    row.probe(probed)
    assert_same(everything(network), before)
    assert torch.get_rng_state().equal(random_state)
    assert probed.clean.images.equal(images[0])
    assert probed.adversarial.equal(images[1])


@every_probe
def test_nothing_is_left_behind_when_the_network_fails(row, probed, counting):
    network = probed.network
    network.train()
    network.layer3.append(counting(most=1))
    before, random_state = everything(network), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="the network broke"):
        row.probe(probed)
    assert_same(everything(network), before)
    assert torch.get_rng_state().equal(random_state)
    assert torch.is_grad_enabled()


@every_probe
@pytest.mark.parametrize("n", [1, 3])
def test_too_few_examples_are_a_reason_and_no_error(row, probed, clean, n):
    few = replace(probed, clean=clean.head(n), adversarial=probed.adversarial[:n])
    measures = row.probe(few)
    assert tuple(measure.name for measure in measures) == row.columns
    assert all(math.isfinite(measure.value) or measure.reason for measure in measures)


@every_probe
def test_features_that_do_not_vary_are_a_reason_and_no_error(row, probed):
    with torch.no_grad():
        for parameter in probed.network.parameters():
            parameter.zero_()
    for measure in row.probe(probed):
        assert math.isfinite(measure.value) or measure.reason


@pytest.mark.parametrize("row", [r for r in PROBES.values() if r.on_request], ids=lambda r: r.name)
def test_without_training_images_there_are_reasons(row, probed):
    measures = row.probe(replace(probed, training=None))
    assert tuple(measure.name for measure in measures) == row.columns
    assert {measure.reason for measure in measures} == {"no training images were given"}


@every_probe
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_numbers(row, probed):
    gpu = torch.device("cuda:0")
    expected = row.probe(probed)
    found = row.probe(replace(probed, network=probed.network.to(gpu), device=gpu))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-2)
