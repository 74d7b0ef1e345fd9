import gc
import math

import numpy as np
import pytest
import torch
from torch import nn

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.features import capture
from clbench.probes.layers import Layer, select_layers
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.schema.errors import BadValueError, UnknownNameError

CPU = torch.device("cpu")


def representations_of(networks, images):
    return [
        Representation(name, network, Inputs(images, "e")) for name, network in networks.items()
    ]


def test_every_pair_of_layers_of_all_representations_equals_its_definition(
    slow, small_resnet, seen_together
):
    other = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    images, size = torch.rand(50, 1, 6, 6), 10
    representations = representations_of({"small": small_resnet, "other": other}, images)
    found = compare(representations, device=CPU, precision="float64", batch_size=size)
    features = {
        representation.name: by_minibatch(representation, images, seen_together(len(images), size))
        for representation in representations
    }
    assert list(found.matrices) == [("small", "small"), ("small", "other"), ("other", "other")]
    for matrix in found.matrices.values():
        rows, columns = (
            features[matrix.rows.representation],
            features[matrix.columns.representation],
        )
        assert matrix.rows.layers == tuple(rows[0])
        for i, row in enumerate(matrix.rows.layers):
            for j, column in enumerate(matrix.columns.layers):
                batches = [(a[row], b[column]) for a, b in zip(rows, columns, strict=True)]
                assert matrix.values[i, j] == pytest.approx(slow.minibatch_cka(batches), abs=1e-9)


def by_minibatch(representation, images, pieces):
    with torch.no_grad(), capture(representation.network, representation.layers) as features_of:
        seen = [features_of(images[piece]) for piece in pieces]
    return [{layer: x.double().numpy() for layer, x in found.items()} for found in seen]


def test_single_precision_is_close_to_double_precision(small_resnet):
    network = build_backbone("resnet18_w16", in_chans=3, num_classes=10).train()
    network(torch.rand(64, 3, 32, 32))
    representations = representations_of({"a": network}, torch.rand(48, 3, 32, 32))
    quick, exact = (
        compare(representations, device=CPU, precision=precision).matrix("a", "a").values
        for precision in ("float32", "float64")
    )
    assert np.abs(quick - exact).max() < 1e-6


def test_only_the_pairs_that_are_asked_for_are_compared_and_only_their_representations_run(
    counting,
):
    networks = {"a": counting(), "b": counting(), "c": counting()}
    representations = representations_of(networks, torch.rand(40, 1, 2, 2))
    found = compare(representations, [("a", "b"), ("a", "b")], device=CPU)
    assert list(found.matrices) == [("a", "b")]
    asked, minibatches = 2, 5
    assert [network.calls for network in networks.values()] == [asked + minibatches] * 2 + [0]


def test_every_representation_is_run_once_however_many_pairs_it_is_part_of(counting):
    networks = {name: counting() for name in "abcd"}
    compare(representations_of(networks, torch.rand(40, 1, 2, 2)), device=CPU)
    asked, minibatches = 2, 5
    assert {network.calls for network in networks.values()} == {asked + minibatches}


def test_rows_and_columns_are_in_the_order_of_execution(small_resnet):
    layers = select_layers(small_resnet, ["logits", "layer2.1", "conv1", "act1"])
    representation = Representation("a", small_resnet, Inputs(torch.rand(40, 1, 6, 6)), layers)
    matrix = compare([representation], device=CPU).matrix("a", "a")
    assert matrix.rows.layers == matrix.columns.layers == ("conv1", "act1", "layer2.1", "logits")


def test_layers_that_overwrite_their_input_do_not_change_what_was_seen(small_resnet):
    images = torch.rand(40, 1, 6, 6)
    layers = select_layers(small_resnet, ["conv1", "act1"])
    representation = Representation("a", small_resnet, Inputs(images), layers)
    matrix = compare([representation], device=CPU, precision="float64").matrix("a", "a")
    small_resnet.act1.inplace = False
    kept = compare([representation], device=CPU, precision="float64").matrix("a", "a")
    assert matrix.values == pytest.approx(kept.values, abs=1e-12)
    assert matrix.values[0, 1] < 1 - 1e-6


class Repeats(nn.Module):
    """Calls one activation twice; another one only where the first image is bright."""

    def __init__(self):
        super().__init__()
        self.act, self.rare, self.idle = nn.Tanh(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = self.act(self.act(x) * 5)
        return self.rare(x) if x[0].mean() > 0.5 else x


def test_a_layer_that_is_called_twice_is_compared_with_itself():
    network = Repeats()
    representation = Representation(
        "a", network, Inputs(torch.rand(40, 1, 3, 3)), {"act": Layer(network.act)}
    )
    matrix = compare([representation], device=CPU).matrix("a", "a")
    assert matrix.rows.layers == ("act", "act#2")
    assert 0 < matrix.entry("act", "act#2").value < 1


def test_layers_that_are_not_passed_each_time_are_undefined_with_a_reason():
    network, images = Repeats(), torch.cat([torch.ones(20, 1, 3, 3), torch.zeros(20, 1, 3, 3)])
    images = (images + 0.1 * torch.rand_like(images)).clamp(0, 1)
    layers = {name: Layer(module) for name, module in network.named_children()}
    for estimator in ("debiased-minibatch", "debiased"):
        representation = Representation(
            "a", network, Inputs(images), layers | {"logits": Layer(network)}
        )
        matrix = compare([representation], device=CPU, estimator=estimator).matrix("a", "a")
        reasons = dict(zip(matrix.rows.layers, matrix.rows.reasons, strict=True))
        assert (
            reasons["rare"] == reasons["idle"] == "no tensor with one row per example passes there"
        )
        assert reasons["act"] == reasons["logits"] == ""
        assert math.isfinite(matrix.entry("act", "logits").value)
        assert matrix.rows.layers[-1] == "idle"


@pytest.mark.parametrize("estimator", ["debiased-minibatch", "debiased"])
def test_hooks_are_gone_and_modes_are_back_after_an_exception(small_resnet, counting, estimator):
    small_resnet.train()
    small_resnet.layer2.append(counting(most=2))
    representations = representations_of(
        {"a": nn.Identity(), "b": small_resnet}, torch.rand(40, 1, 6, 6)
    )
    with pytest.raises(RuntimeError, match="the network broke"):
        compare(representations, device=CPU, estimator=estimator)
    assert all(module.training for module in small_resnet.modules())
    assert not any(module._forward_hooks for module in small_resnet.modules())
    assert torch.is_grad_enabled()


def test_a_network_that_draws_random_numbers_gives_the_same_twice_but_not_to_each_view():
    class Noisy(nn.Module):
        def forward(self, x):
            return torch.randn(len(x), 9)

    representations = representations_of({"a": Noisy(), "b": Noisy()}, torch.rand(80, 1, 3, 3))
    first, second = (
        compare(representations, device=CPU).matrix("a", "b").entry("logits", "logits")
        for _ in "12"
    )
    assert first == second
    assert abs(first.value) < 0.5


def test_networks_that_need_the_order_of_the_axes_are_run_so(views):
    representation = Representation("a", views, Inputs(torch.rand(20, 3, 6, 6)))
    assert compare([representation], device=CPU).matrix("a", "a").entry(
        "logits", "logits"
    ).value == pytest.approx(1)


def test_images_are_run_in_the_layout_that_is_asked_for():
    layouts = []

    class Notes(nn.Conv2d):
        def forward(self, x):
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x)

    representation = Representation("a", Notes(3, 4, 3), Inputs(torch.rand(20, 3, 6, 6)))
    compare([representation], device=CPU, layout=torch.contiguous_format)
    assert not any(layouts)
    compare([representation], device=CPU)
    assert layouts[-1]


@pytest.mark.parametrize(("estimator", "total"), [("debiased-minibatch", 5), ("debiased", 15)])
def test_progress_is_reported_up_to_the_end(estimator, total):
    steps = []
    representation = Representation("a", nn.Identity(), Inputs(torch.rand(40, 1, 2, 2)))
    compare(
        [representation],
        device=CPU,
        estimator=estimator,
        on_progress=lambda *step: steps.append(step),
    )
    assert steps == [("comparing", done, total) for done in range(1, total + 1)]


def bytes_of_tensors():
    """How much memory all plain tensors take that Python knows of."""
    plain = torch.Tensor, nn.Parameter
    found = (one for one in gc.get_objects() if type(one) in plain)
    return sum(one.nbytes for one in found if one.layout == torch.strided)


def test_memory_does_not_depend_on_the_number_of_images(small_resnet):
    def bytes_at_the_end(n):
        images, found = torch.rand(n, 1, 6, 6), []
        representations = representations_of({"a": small_resnet, "b": small_resnet}, images)
        before = bytes_of_tensors()

        def note(_what, done, total):
            if done == total:
                found.append(bytes_of_tensors() - before)

        matrix = compare(representations, device=CPU, batch_size=8, on_progress=note).matrix(
            "a", "b"
        )
        assert len(matrix.left_out) == 32
        return found[0]

    assert 0 < bytes_at_the_end(528) <= 1.1 * bytes_at_the_end(264)


def test_representations_of_other_examples_cannot_be_compared():
    one, other = torch.rand(8, 1, 2, 2), torch.rand(8, 1, 2, 2)
    representations = [
        Representation("a", nn.Identity(), Inputs(one)),
        Representation("b", nn.Identity(), Inputs(other)),
    ]
    with pytest.raises(BadValueError, match="'a' and 'b' must show the same examples"):
        compare(representations, device=CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "biassed"}, "unknown estimator 'biassed'; did you mean 'biased'?"),
        ({"precision": "float46"}, "unknown precision 'float46'; did you mean 'float64'?"),
        ({"pairs": [("clean", "other")]}, "unknown representation 'other'; known: clean"),
    ],
)
def test_unknown_names_are_met_with_the_nearest(options, message):
    representation = Representation("clean", nn.Identity(), Inputs(torch.rand(8, 1, 2, 2)))
    with pytest.raises(UnknownNameError, match=message):
        compare([representation], device=CPU, **options)
