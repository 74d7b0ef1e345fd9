import pytest
import timm
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.features import capture
from clbench.probes.layers import find_layers, select_layers, stage_ends
from clbench.schema.errors import UnknownNameError


def run(network, images, layers=None):
    with torch.no_grad(), capture(network, layers or find_layers(network)) as features_of:
        return features_of(images)


def test_every_block_of_our_resnet_is_read_in_order():
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    found = run(network, torch.rand(2, 1, 8, 8))
    blocks = [f"stage{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert list(find_layers(network)) == list(found) == ["stem", *blocks, "pool", "logits"]
    widths = [len(features[0]) for features in found.values()]
    assert widths == [1024, 1024, 1024, 512, 512, 256, 256, 128, 128, 128, 10]


TIMM = {
    "regnetx_002": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "mobilenetv3_small_050": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "resnetv2_50": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "convnext_atto": ["stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "vit_tiny_patch16_224": [*(f"stage{k}" for k in range(1, 13)), "pool", "logits"],
    "deit_tiny_distilled_patch16_224": [*(f"stage{k}" for k in range(1, 13)), "pool", "logits"],
}


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm_are_read_where_timm_says(name):
    network = timm.create_model(name).eval()
    size = 224 if "patch16" in name else 64
    found = run(network, torch.rand(2, 3, size, size))
    assert list(find_layers(network)) == TIMM[name]
    assert list(found) == TIMM[name]
    assert found["pool"].shape == (2, network.head_hidden_size)
    assert found["logits"].shape == (2, 1000)


def test_a_network_without_classifier_has_no_pool_layer():
    assert "pool" not in find_layers(timm.create_model("convnext_atto", num_classes=0))


def test_resnets_of_torchvision_are_read_like_those_of_timm():
    from torchvision.models import resnet18

    network = resnet18().eval()
    found = run(network, torch.rand(2, 3, 32, 32))
    blocks = [f"stage{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert list(found) == ["stem", *blocks, "pool", "logits"]
    assert found["pool"].shape == (2, 512)


class WideStage(nn.Module):
    """A stage that keeps its blocks in one attribute, as wide ResNets do."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1))

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 1)
        self.block1, self.block2 = WideStage(4), WideStage(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.block2(self.block1(self.conv1(x))).mean(dim=(2, 3)))


def test_the_blocks_of_wide_resnets_are_found_inside_their_stages():
    found = run(WideResNet(), torch.rand(2, 1, 4, 4))
    blocks = ["stage1.0", "stage1.1", "stage2.0", "stage2.1"]
    assert list(found) == ["stem", *blocks, "pool", "logits"]


def test_a_network_behind_a_normalisation_is_found(small_resnet):
    wrapped = nn.Sequential(nn.Identity(), small_resnet)
    assert list(find_layers(wrapped)) == list(find_layers(small_resnet))
    assert find_layers(wrapped)["logits"].module is wrapped


def test_of_several_networks_in_one_only_the_logits_are_read(small_resnet):
    other = ResNet(BasicBlock, (1, 1, 1, 1), in_chans=1, num_classes=5)

    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList([small_resnet, other])
            self.scale = nn.Conv2d(1, 1, 1)

    assert list(find_layers(Ensemble())) == ["logits"]


def test_any_network_that_ends_in_a_linear_layer_is_read_before_it():
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3))
    found = run(network, torch.rand(5, 1, 3, 3))
    assert {name: tuple(features.shape) for name, features in found.items()} == {
        "pool": (5, 4),
        "logits": (5, 3),
    }


@pytest.mark.parametrize("network", [nn.Flatten(), nn.Conv2d(1, 1, 1)])
def test_any_other_network_is_read_at_its_logits(network):
    assert list(find_layers(network)) == ["logits"]


def test_an_attribute_that_only_looks_like_timms_is_passed_over():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network.feature_info = [{"module": "nowhere"}, {"module": ""}, "0"]
    assert list(find_layers(network)) == ["pool", "logits"]


def test_a_stage_ends_with_its_last_block():
    layers = ["stem", "stage1.0", "stage1.9", "stage1.10", "stage2", "pool", "logits"]
    assert stage_ends(layers) == ["stage1.10", "stage2"]


@pytest.fixture
def network():
    return build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()


def test_without_names_the_usual_layers_are_selected(network):
    assert select_layers(network, []) == find_layers(network)


def test_layers_are_selected_by_the_name_of_a_module_or_of_a_usual_layer(network):
    chosen = select_layers(network, ["layer3.0.conv2", "stage1.0", "logits"])
    assert chosen["layer3.0.conv2"].module is network.layer3[0].conv2
    assert chosen["stage1.0"].module is network.layer1[0]
    assert list(run(network, torch.rand(2, 1, 8, 8), chosen)) == [
        *("stage1.0", "layer3.0.conv2", "logits")
    ]


def test_layers_are_selected_by_patterns(network):
    convolutions = [f"layer{k}.{i}.conv2" for k in (1, 2, 3, 4) for i in (0, 1)]
    assert list(select_layers(network, ["layer*.conv2"])) == convolutions
    assert list(select_layers(network, ["layer[12].?.conv2"])) == convolutions[:4]
    assert list(select_layers(network, ["stage4.*"])) == ["stage4.0", "stage4.1"]


def test_what_computes_in_a_resnet18_are_61_modules(network):
    chosen = select_layers(network, ["all"])
    found = run(network, torch.rand(2, 1, 8, 8), chosen)
    assert len(chosen) == len(found) == 61
    assert list(found)[:5] == ["conv1", "bn1", "act1", "layer1.0.conv1", "layer1.0.bn1"]
    assert list(found)[-2:] == ["fc", "logits"]
    # the shortcut is computed after the second convolution, though it is listed behind it
    at = list(found).index
    assert at("layer2.0.bn2") < at("layer2.0.downsample.0") < at("layer2.0.act2")


def test_the_order_is_that_of_execution_whatever_the_order_of_the_names(network):
    backwards = select_layers(network, ["logits", "pool", "layer2", "stem"])
    assert list(run(network, torch.rand(2, 1, 8, 8), backwards)) == [
        *("stem", "layer2", "pool", "logits")
    ]


def test_a_place_that_is_asked_for_twice_is_read_once(network):
    chosen = select_layers(network, ["layer1.0", "stage1.0", "layer1.*0", "act1", "stem"])
    assert list(chosen) == ["layer1.0", "act1"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer3.0.conv9", "unknown layer 'layer3.0.conv9'; did you mean 'layer3.0.conv[123]'"),
        ("stage9.0", "unknown layer 'stage9.0'; did you mean 'stage[1-4].0'"),
        ("layer9.*.conv9", "unknown layer 'layer9.\\*.conv9'; did you mean 'layer"),
        ("xyz", "unknown layer 'xyz'; known: logits, pool, stage1.0, stage1.1, .*, ...$"),
    ],
)
def test_an_unknown_layer_is_met_with_the_nearest_name(network, name, message):
    with pytest.raises(UnknownNameError, match=message):
        select_layers(network, [name])


def test_a_stage_stands_for_its_blocks(small_resnet):
    assert list(select_layers(small_resnet, ["stage2"])) == ["stage2.0", "stage2.1"]
