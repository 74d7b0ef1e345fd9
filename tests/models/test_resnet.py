import pytest
import timm
import torch
from torch import nn

from clbench.models import BACKBONES, CifarResNet, build_backbone
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError

GREY = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet18", 11_173_962), ("resnet50", 23_520_842)]
)
def test_backbone_has_the_known_number_of_parameters(name, parameters):
    with torch.device("meta"):
        network = build_backbone(name, in_chans=3, num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("in_chans", [1, 2, 3, 4])
@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_takes_any_number_of_channels(name, in_chans):
    with torch.device("meta"):
        network = build_backbone(name, in_chans, num_classes=5).eval()
        assert network(torch.rand(1, in_chans, 16, 16)).shape == (1, 5)


@pytest.mark.parametrize("width", [2, 10, 64])
def test_any_even_width_is_honoured(width):
    row = BACKBONES["resnet18"]
    network = CifarResNet(row.block, row.layers, width=width).eval()
    maps = network.forward_intermediates(torch.rand(1, 3, 8, 8), intermediates_only=True)
    assert [m.shape[1] for m in maps] == [width, width, 2 * width, 4 * width, 8 * width]


@pytest.mark.parametrize("width", [0, -4, 15])
def test_odd_width_is_refused(width):
    row = BACKBONES["resnet18"]
    with pytest.raises(BadValueError, match=rf"^width must be an even number .*, got {width}$"):
        CifarResNet(row.block, row.layers, width=width)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_declared_reductions_hold_with_dilation_too(output_stride):
    row = BACKBONES["resnet50"]
    network = CifarResNet(row.block, row.layers, width=8, output_stride=output_stride).eval()
    maps = network.forward_intermediates(torch.rand(1, 3, 32, 32), intermediates_only=True)
    declared = [info["reduction"] for info in network.feature_info]
    assert [32 // m.shape[-1] for m in maps] == declared


def test_first_convolution_starts_like_the_others():
    weight = build_backbone("resnet18", in_chans=3, num_classes=10).conv1.weight
    expected = (2 / (64 * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(expected, rel=0.1)


def test_initial_weights_follow_the_seed(make_network):
    first, same, other = make_network(seed=1), make_network(seed=1), make_network(seed=2)
    assert torch.equal(first(GREY), same(GREY))
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_unknown_backbone_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'resnet19'; did you mean '"):
        build_backbone("resnet19", in_chans=3, num_classes=10)


def filled_by_timm(file, **choices):
    overlay = {"file": str(file), "num_classes": 10, "custom_load": True}
    return timm.create_model(
        "simclr_at.digits", pretrained=True, pretrained_cfg_overlay=overlay, **choices
    ).eval()


def test_half_precision_weights_fill_a_float32_network(make_network, make_weights):
    network = filled_by_timm(make_weights(half=True))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.equal(network.conv1.weight, make_network().conv1.weight.half().float())


def test_another_number_of_classes_keeps_the_features_and_starts_a_new_head(
    make_network, make_weights
):
    network = filled_by_timm(make_weights(), num_classes=3)
    assert network(GREY).shape == (2, 3)
    assert torch.equal(network.forward_features(GREY), make_network().forward_features(GREY))


def test_no_classes_keeps_the_features(make_network, make_weights):
    expected = make_network().forward_head(make_network().forward_features(GREY), pre_logits=True)
    assert torch.equal(filled_by_timm(make_weights(), num_classes=0)(GREY), expected)


def test_other_channels_see_a_grey_image_as_before(make_network, make_weights):
    colour = filled_by_timm(make_weights(), in_chans=3)(GREY.expand(-1, 3, -1, -1))
    torch.testing.assert_close(colour, make_network()(GREY), rtol=1e-4, atol=1e-5)


def test_feature_extractor_is_filled_too(make_network, make_weights):
    extractor = filled_by_timm(make_weights(), features_only=True)
    expected = make_network().forward_intermediates(GREY, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(extractor(GREY), expected, strict=True))


def test_timm_never_drops_a_head_that_was_not_replaced(make_weights):
    file = make_weights(num_classes=7)
    with pytest.raises(WeightsError, match=r"of another network: 'fc.bias' is \[7\], .* \[10\]$"):
        filled_by_timm(file)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_folded_network_is_equal_but_for_rounding(name):
    network = build_backbone(name, in_chans=1, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    images = torch.rand(2, 1, 8, 8)
    folded = network.folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        plain, fast = network(images), folded(images)
    assert torch.allclose(fast, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))
