import gc
import math

import numpy as np
import pytest
import torch
from torch import nn

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.features import capture
from clbench.probes.layers import Tap, select_taps
from clbench.probes.similarity.cka import minibatches
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, View
from clbench.schema.errors import BadValueError, UnknownNameError

CPU = torch.device("cpu")


def views_of(networks, images):
    return [View(name, network, Inputs(images, "e")) for name, network in networks.items()]


class Counting(nn.Module):
    """Passes images on and counts how often it is asked to."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x


def test_every_pair_of_taps_of_all_views_equals_its_definition(slow, small_resnet):
    other = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    images, size = torch.rand(50, 1, 6, 6), 10
    views = views_of({"small": small_resnet, "other": other}, images)
    found = compare(views, device=CPU, precision="float64", batch_size=size)
    features = {view.name: by_minibatch(view, images, size) for view in views}
    assert list(found.blocks) == [("small", "small"), ("small", "other"), ("other", "other")]
    for block in found.blocks.values():
        rows, columns = features[block.rows.view], features[block.columns.view]
        assert block.rows.taps == tuple(rows[0])
        for i, row in enumerate(block.rows.taps):
            for j, column in enumerate(block.columns.taps):
                batches = [(a[row], b[column]) for a, b in zip(rows, columns, strict=True)]
                assert block.values[i, j] == pytest.approx(slow.minibatch_cka(batches), abs=1e-9)


def by_minibatch(view, images, size):
    with torch.no_grad(), capture(view.network, view.taps) as features_of:
        seen = [features_of(images[piece]) for piece in minibatches(len(images), size)]
    return [{tap: x.double().numpy() for tap, x in found.items()} for found in seen]


def test_single_precision_is_close_to_double_precision(small_resnet):
    network = build_backbone("resnet18_w16", in_chans=3, num_classes=10).train()
    network(torch.rand(64, 3, 32, 32))
    views = views_of({"a": network}, torch.rand(48, 3, 32, 32))
    quick, exact = (
        compare(views, device=CPU, precision=precision).block("a", "a").values
        for precision in ("float32", "float64")
    )
    assert np.abs(quick - exact).max() < 1e-6


def test_only_the_pairs_that_are_asked_for_are_compared_and_only_their_views_run():
    networks = {"a": Counting(), "b": Counting(), "c": Counting()}
    views = views_of(networks, torch.rand(40, 1, 2, 2))
    found = compare(views, [("a", "b"), ("a", "b")], device=CPU)
    assert list(found.blocks) == [("a", "b")]
    assert [network.calls for network in networks.values()] == [5, 5, 0]


def test_every_view_is_run_once_however_many_pairs_it_is_part_of():
    networks = {name: Counting() for name in "abcd"}
    compare(views_of(networks, torch.rand(40, 1, 2, 2)), device=CPU)
    assert {network.calls for network in networks.values()} == {5}


def test_rows_and_columns_are_in_the_order_of_execution(small_resnet):
    taps = select_taps(small_resnet, ["logits", "layer2.1", "conv1", "act1"])
    view = View("a", small_resnet, Inputs(torch.rand(40, 1, 6, 6)), taps)
    block = compare([view], device=CPU).block("a", "a")
    assert block.rows.taps == block.columns.taps == ("conv1", "act1", "layer2.1", "logits")


def test_layers_that_overwrite_their_input_do_not_change_what_was_seen(small_resnet):
    images = torch.rand(40, 1, 6, 6)
    taps = select_taps(small_resnet, ["conv1", "act1"])
    view = View("a", small_resnet, Inputs(images), taps)
    block = compare([view], device=CPU, precision="float64").block("a", "a")
    small_resnet.act1.inplace = False
    kept = compare([view], device=CPU, precision="float64").block("a", "a")
    assert block.values == pytest.approx(kept.values, abs=1e-12)
    assert block.values[0, 1] < 1 - 1e-6


class Repeats(nn.Module):
    """Calls one activation twice; another one only where the first image is bright."""

    def __init__(self):
        super().__init__()
        self.act, self.rare, self.idle = nn.Tanh(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = self.act(self.act(x) * 5)
        return self.rare(x) if x[0].mean() > 0.5 else x


def test_a_tap_that_is_called_twice_is_compared_with_itself():
    network = Repeats()
    view = View("a", network, Inputs(torch.rand(40, 1, 3, 3)), {"act": Tap(network.act)})
    block = compare([view], device=CPU).block("a", "a")
    assert block.rows.taps == ("act", "act#2")
    assert 0 < block.entry("act", "act#2").value < 1


def test_taps_that_are_not_passed_each_time_are_undefined_with_a_reason():
    network, images = Repeats(), torch.cat([torch.ones(20, 1, 3, 3), torch.zeros(20, 1, 3, 3)])
    images = (images + 0.1 * torch.rand_like(images)).clamp(0, 1)
    taps = {name: Tap(module) for name, module in network.named_children()}
    for estimator in ("debiased-minibatch", "debiased"):
        view = View("a", network, Inputs(images), taps | {"logits": Tap(network)})
        block = compare([view], device=CPU, estimator=estimator).block("a", "a")
        reasons = dict(zip(block.rows.taps, block.rows.reasons, strict=True))
        assert (
            reasons["rare"] == reasons["idle"] == "no tensor with one row per example passes there"
        )
        assert reasons["act"] == reasons["logits"] == ""
        assert math.isfinite(block.entry("act", "logits").value)
        assert block.rows.taps[-1] == "idle"


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 2:
            raise ZeroDivisionError("the network broke")
        return x


@pytest.mark.parametrize("estimator", ["debiased-minibatch", "debiased"])
def test_hooks_are_gone_and_modes_are_back_after_an_exception(small_resnet, estimator):
    small_resnet.train()
    small_resnet.layer2.append(Failing())
    views = views_of({"a": nn.Identity(), "b": small_resnet}, torch.rand(40, 1, 6, 6))
    with pytest.raises(ZeroDivisionError, match="the network broke"):
        compare(views, device=CPU, estimator=estimator)
    assert all(module.training for module in small_resnet.modules())
    assert not any(module._forward_hooks for module in small_resnet.modules())
    assert torch.is_grad_enabled()


def test_a_network_that_draws_random_numbers_gives_the_same_twice_but_not_to_each_view():
    class Noisy(nn.Module):
        def forward(self, x):
            return torch.randn(len(x), 9)

    views = views_of({"a": Noisy(), "b": Noisy()}, torch.rand(80, 1, 3, 3))
    first, second = (
        compare(views, device=CPU).block("a", "b").entry("logits", "logits") for _ in "12"
    )
    assert first == second
    assert abs(first.value) < 0.5


def test_networks_that_need_the_order_of_the_axes_are_run_so():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).view(len(x), -1)

    view = View("a", Views(), Inputs(torch.rand(20, 3, 6, 6)))
    assert compare([view], device=CPU).block("a", "a").entry(
        "logits", "logits"
    ).value == pytest.approx(1)


def test_images_are_run_in_the_layout_that_is_asked_for():
    layouts = []

    class Notes(nn.Conv2d):
        def forward(self, x):
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x)

    view = View("a", Notes(3, 4, 3), Inputs(torch.rand(20, 3, 6, 6)))
    compare([view], device=CPU, layout=torch.contiguous_format)
    assert not any(layouts)
    compare([view], device=CPU)
    assert layouts[-1]


@pytest.mark.parametrize(("estimator", "total"), [("debiased-minibatch", 5), ("debiased", 15)])
def test_progress_is_reported_up_to_the_end(estimator, total):
    steps = []
    view = View("a", nn.Identity(), Inputs(torch.rand(40, 1, 2, 2)))
    compare([view], device=CPU, estimator=estimator, on_progress=lambda *step: steps.append(step))
    assert steps == [(done, total) for done in range(1, total + 1)]


def bytes_of_tensors():
    """How much memory all tensors take that Python knows of."""
    return sum(one.nbytes for one in gc.get_objects() if issubclass(type(one), torch.Tensor))


def test_memory_does_not_depend_on_the_number_of_images(small_resnet):
    def bytes_at_the_end(n):
        images, found = torch.rand(n, 1, 6, 6), []
        views = views_of({"a": small_resnet, "b": small_resnet}, images)
        before = bytes_of_tensors()

        def note(done, total):
            if done == total:
                found.append(bytes_of_tensors() - before)

        block = compare(views, device=CPU, batch_size=8, on_progress=note).block("a", "b")
        assert len(block.left_out) == 32
        return found[0]

    assert 0 < bytes_at_the_end(528) <= 1.1 * bytes_at_the_end(264)


def test_views_of_other_examples_cannot_be_compared():
    one, other = torch.rand(8, 1, 2, 2), torch.rand(8, 1, 2, 2)
    views = [View("a", nn.Identity(), Inputs(one)), View("b", nn.Identity(), Inputs(other))]
    with pytest.raises(BadValueError, match="'a' and 'b' must show the same examples"):
        compare(views, device=CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "biassed"}, "unknown estimator 'biassed'; did you mean 'biased'?"),
        ({"precision": "float46"}, "unknown precision 'float46'; did you mean 'float64'?"),
        ({"pairs": [("clean", "other")]}, "unknown view 'other'; known: clean"),
    ],
)
def test_unknown_names_are_met_with_the_nearest(options, message):
    view = View("clean", nn.Identity(), Inputs(torch.rand(8, 1, 2, 2)))
    with pytest.raises(UnknownNameError, match=message):
        compare([view], device=CPU, **options)
