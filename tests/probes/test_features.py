import pytest
import timm
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from clbench.models.backbone import build_backbone
from clbench.probes.features import Tap, capture, find_taps, stage_ends, undisturbed


def n_hooks(network):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )


def run(network, images, taps=None):
    with torch.no_grad(), capture(network, taps or find_taps(network)) as features_of:
        return features_of(images)


def test_every_block_of_our_resnet_is_tapped_in_order():
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    found = run(network, torch.rand(2, 1, 8, 8))
    blocks = [f"stage{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert list(find_taps(network)) == list(found) == ["stem", *blocks, "pool", "logits"]
    widths = [len(features[0]) for features in found.values()]
    assert widths == [1024, 1024, 1024, 512, 512, 256, 256, 128, 128, 128, 10]


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
    taps = {"conv1": Tap(small_resnet.conv1), "stem": Tap(small_resnet.act1)}
    found = run(small_resnet, images, taps)
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


TIMM = {
    "regnetx_002": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "mobilenetv3_small_050": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "resnetv2_50": ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "convnext_atto": ["stage1", "stage2", "stage3", "stage4", "pool", "logits"],
    "vit_tiny_patch16_224": [*(f"stage{k}" for k in range(1, 13)), "pool", "logits"],
    "deit_tiny_distilled_patch16_224": [*(f"stage{k}" for k in range(1, 13)), "pool", "logits"],
}


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm_are_tapped_where_timm_says(name):
    network = timm.create_model(name).eval()
    size = 224 if "patch16" in name else 64
    found = run(network, torch.rand(2, 3, size, size))
    assert list(find_taps(network)) == TIMM[name]
    assert list(found) == TIMM[name]
    assert found["pool"].shape == (2, network.head_hidden_size)
    assert found["logits"].shape == (2, 1000)


def test_a_network_without_classifier_has_no_pool_tap():
    assert "pool" not in find_taps(timm.create_model("convnext_atto", num_classes=0))


def test_resnets_of_torchvision_are_tapped_like_those_of_timm():
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
    assert list(find_taps(wrapped)) == list(find_taps(small_resnet))
    assert find_taps(wrapped)["logits"].module is wrapped


def test_of_several_networks_in_one_only_the_logits_are_tapped(small_resnet):
    other = ResNet(BasicBlock, (1, 1, 1, 1), in_chans=1, num_classes=5)

    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList([small_resnet, other])
            self.scale = nn.Conv2d(1, 1, 1)

    assert list(find_taps(Ensemble())) == ["logits"]


def test_any_network_that_ends_in_a_linear_layer_is_tapped_before_it():
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3))
    found = run(network, torch.rand(5, 1, 3, 3))
    assert {name: tuple(features.shape) for name, features in found.items()} == {
        "pool": (5, 4),
        "logits": (5, 3),
    }


@pytest.mark.parametrize("network", [nn.Flatten(), nn.Conv2d(1, 1, 1)])
def test_any_other_network_is_tapped_at_its_logits(network):
    assert list(find_taps(network)) == ["logits"]


def test_an_attribute_that_only_looks_like_timms_is_passed_over():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network.feature_info = [{"module": "nowhere"}, {"module": ""}, "0"]
    assert list(find_taps(network)) == ["pool", "logits"]


class Reused(nn.Module):
    """Calls one activation three times, and has a module that it never calls."""

    def __init__(self):
        super().__init__()
        self.act, self.idle = nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.act(self.act(self.act(x) + 1) + 1)


def test_a_tap_passed_several_times_is_numbered():
    images = torch.zeros(2, 1, 1, 1)
    network = Reused()
    with capture(network, {"act": Tap(network.act), "idle": Tap(network.idle)}) as features_of:
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
    taps = {name: Tap(module) for name, module in network.named_children() if name != "named"}
    taps["named"] = Tap(network.named, "input")
    assert list(run(network, torch.rand(2, 1, 2, 2), taps | find_taps(network))) == ["logits"]


def test_features_are_the_callers_own_and_have_no_history(small_resnet):
    taps = find_taps(small_resnet)
    with capture(small_resnet, taps) as features_of:
        first = features_of(torch.rand(2, 1, 6, 6))
        kept = {name: features.clone() for name, features in first.items()}
        features_of(torch.rand(3, 1, 6, 6))
    assert not any(features.requires_grad for features in first.values())
    assert all(first[name].equal(kept[name]) for name in taps)


def test_only_what_is_asked_for_is_kept(small_resnet):
    with capture(small_resnet, find_taps(small_resnet), keep=lambda x: x.sum(dim=1)) as features_of:
        found = features_of(torch.rand(4, 1, 6, 6))
    assert {tuple(features.shape) for features in found.values()} == {(4,)}


@pytest.mark.parametrize("ends", ["well", "in an error"])
def test_hooks_are_gone_when_the_context_ends(small_resnet, ends):
    def listen():
        with capture(small_resnet, find_taps(small_resnet)) as features_of:
            assert n_hooks(small_resnet) == 7
            features_of(torch.rand(2, 1 if ends == "well" else 9, 6, 6))

    if ends == "well":
        listen()
    else:
        with pytest.raises(RuntimeError, match="expected input"):
            listen()
    assert n_hooks(small_resnet) == 0


def test_a_network_is_left_in_the_modes_it_had(small_resnet):
    small_resnet.train()
    small_resnet.layer1.eval()
    before = [module.training for module in small_resnet.modules()]
    with undisturbed(small_resnet, torch.device("cpu")):
        assert not any(module.training for module in small_resnet.modules())
        assert not torch.is_grad_enabled()
    assert [module.training for module in small_resnet.modules()] == before
    assert torch.is_grad_enabled()


def test_random_numbers_are_the_same_each_time_and_cost_the_caller_none():
    def draw():
        with undisturbed(nn.Identity(), torch.device("cpu")):
            return torch.rand(3)

    state = torch.get_rng_state()
    first = draw()
    torch.rand(5)
    assert draw().equal(first)
    torch.set_rng_state(state)
    after = torch.rand(1)
    torch.set_rng_state(state)
    draw()
    assert torch.rand(1).equal(after)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_random_numbers_of_a_gpu_are_left_as_found():
    device = torch.device("cuda:0")
    state = torch.cuda.get_rng_state(device)
    with undisturbed(nn.Identity(), device):
        first = torch.rand(3, device=device)
    with undisturbed(nn.Identity(), device):
        assert torch.rand(3, device=device).equal(first)
    assert torch.cuda.get_rng_state(device).equal(state)


def test_a_stage_ends_with_its_last_block():
    taps = ["stem", "stage1.0", "stage1.9", "stage1.10", "stage2", "pool", "logits"]
    assert stage_ends(taps) == ["stage1.10", "stage2"]
