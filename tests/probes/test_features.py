import pytest
import torch
from torch import nn

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.features import capture, fastest_layout, flat_copy
from clbench.probes.layers import Layer, find_layers


def n_hooks(network):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )


def run(network, images, layers=None):
    with torch.no_grad(), capture(network, layers or find_layers(network)) as features_of:
        return features_of(images)


def test_features_are_what_our_resnet_computes_step_by_step():
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    images = torch.rand(3, 1, 8, 8)
    found = run(network, images)
    with torch.no_grad():
        x = network.bn1(network.conv1(images)).relu()
        assert found["stem"].equal(x.flatten(1))
        for k in (1, 2, 3, 4):
            for i, block in enumerate(getattr(network, f"layer{k}")):
                x = block(x.clone())
                assert found[f"stage{k}.{i}"].equal(x.flatten(1))
        assert found["pool"].equal(x.mean(dim=(2, 3)))
        assert found["logits"].equal(network(images))


def test_what_later_layers_overwrite_is_kept_as_it_was(small_resnet):
    images = torch.rand(3, 1, 6, 6)
    layers = {"conv1": Layer(small_resnet.conv1), "stem": Layer(small_resnet.act1)}
    found = run(small_resnet, images, layers)
    with torch.no_grad():
        before_relu = small_resnet.conv1(images)
    assert found["conv1"].equal(before_relu.flatten(1))
    assert found["conv1"].min() < 0
    assert found["stem"].equal(before_relu.relu().flatten(1))


def test_listening_changes_no_logit(small_resnet):
    images = torch.rand(3, 1, 6, 6)
    with torch.no_grad():
        alone = small_resnet(images)
    assert run(small_resnet, images)["logits"].equal(alone)


class Reused(nn.Module):
    """Calls one activation three times, and has a module that it never calls."""

    def __init__(self):
        super().__init__()
        self.act, self.idle = nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.act(self.act(self.act(x) + 1) + 1)


def test_a_layer_passed_several_times_is_numbered():
    images = torch.zeros(2, 1, 1, 1)
    network = Reused()
    with capture(network, {"act": Layer(network.act), "idle": Layer(network.idle)}) as features_of:
        for _ in range(2):
            found = features_of(images)
    values = {name: features[0].item() for name, features in found.items()}
    assert values == {"act": 0, "act#2": 1, "act#3": 2}


class Odd(nn.Module):
    """Gives a tuple, integers, and another number of rows on the way."""

    def __init__(self):
        super().__init__()
        self.pair, self.numbers, self.fold = nn.Identity(), nn.Identity(), nn.Identity()
        self.named = nn.Identity()

    def forward(self, x):
        self.pair((x, x))
        self.numbers(x.long())
        self.fold(x.reshape(-1, 1))
        self.named(input=x)
        return x


def test_what_is_no_tensor_with_a_row_per_example_is_absent():
    network = Odd()
    layers = {name: Layer(module) for name, module in network.named_children() if name != "named"}
    layers["named"] = Layer(network.named, "input")
    assert list(run(network, torch.rand(2, 1, 2, 2), layers | find_layers(network))) == ["logits"]


def test_features_are_the_callers_own_and_have_no_history(small_resnet):
    layers = find_layers(small_resnet)
    with capture(small_resnet, layers) as features_of:
        first = features_of(torch.rand(2, 1, 6, 6))
        kept = {name: features.clone() for name, features in first.items()}
        features_of(torch.rand(3, 1, 6, 6))
    assert not any(features.requires_grad for features in first.values())
    assert all(first[name].equal(kept[name]) for name in layers)


def test_only_what_is_asked_for_is_kept(small_resnet):
    with capture(
        small_resnet, find_layers(small_resnet), keep=lambda x: x.flatten(1).sum(dim=1)
    ) as features_of:
        found = features_of(torch.rand(4, 1, 6, 6))
    assert {tuple(features.shape) for features in found.values()} == {(4,)}


@pytest.mark.parametrize("ends", ["well", "in an error"])
def test_hooks_are_gone_when_the_context_ends(small_resnet, ends):
    def listen():
        with capture(small_resnet, find_layers(small_resnet)) as features_of:
            assert n_hooks(small_resnet) == 7
            features_of(torch.rand(2, 1 if ends == "well" else 9, 6, 6))

    if ends == "well":
        listen()
    else:
        with pytest.raises(RuntimeError, match="expected input"):
            listen()
    assert n_hooks(small_resnet) == 0


def test_convolutions_on_a_cpu_are_run_with_channels_last(views):
    images, cpu = torch.rand(2, 3, 6, 6), torch.device("cpu")
    with torch.no_grad():
        assert fastest_layout(nn.Conv2d(3, 4, 3), images, cpu) == torch.channels_last
        assert fastest_layout(views, images, cpu) == torch.contiguous_format
        assert fastest_layout(nn.Flatten(), images, cpu) == torch.contiguous_format
        assert fastest_layout(nn.Conv2d(3, 4, 3), images, torch.device("cuda")) == (
            torch.contiguous_format
        )


def test_a_flat_copy_has_the_order_of_the_axes_in_any_layout():
    features = torch.rand(2, 3, 4, 5)
    last = features.contiguous(memory_format=torch.channels_last)
    assert flat_copy(last).equal(features.flatten(1))
    assert flat_copy(features).data_ptr() != features.data_ptr()
