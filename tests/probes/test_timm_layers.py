"""Layers of timm's architectures, against hooks set by hand and timm's own features."""

import pytest
import torch
from torch import nn

from benchmarks.timm_architectures import NARROW, network_of
from clbench.models.calling import Adapted, Call, bare
from clbench.probes.clean_adversarial import clean_adversarial_similarity
from clbench.probes.features import capture, in_order
from clbench.probes.layers import Layer, find_layers, select_layers
from clbench.probes.linear.truncated import UpTo
from clbench.probes.listing import list_layers

CPU = torch.device("cpu")
BLOCKS = [f"blocks.{k}" for k in range(4)]
RESNET = ["act1", *(f"layer{k}.0" for k in range(1, 5)), "global_pool"]

BY_HAND = {
    "resnet": RESNET,
    "wide_resnet": RESNET,
    "vit": BLOCKS,
    "deit": BLOCKS,
    "convnext": [f"stages.{k}" for k in range(4)],
    "mlp_mixer": BLOCKS,
    "swin": ["layers.0", "layers.1"],
    "efficientnet": [f"blocks.{k}" for k in (0, 1, 2, 3, 4)],
}
"""Where a hook set by hand finds what is compared, from the image onwards, but for the end."""

CLASSIFIERS = {
    **dict.fromkeys(("resnet", "wide_resnet"), "fc"),
    **dict.fromkeys(("vit", "deit", "mlp_mixer"), "head"),
    **dict.fromkeys(("convnext", "swin"), "head.fc"),
    "efficientnet": "classifier",
}
"""Before them, features are pooled."""

AXES = {
    **dict.fromkeys(("resnet", "wide_resnet"), ("", "")),
    "vit": ("tokens (1 more than patches), channels", "channels of the class token"),
    "deit": ("tokens (2 more than patches), channels", "channels of the class token"),
    "convnext": ("channels, height, width", ""),
    "mlp_mixer": ("tokens, channels", ""),
    "swin": ("channels, height, width", ""),
    "efficientnet": ("channels, height, width", ""),
}


@pytest.fixture(scope="module")
def images():
    return torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=NARROW)
def named(request, images):
    return request.param, network_of(request.param, images)


def by_hand(name, network, images):
    """Return what flows where the tables say, with the names of the layers."""
    found, hooks = {}, []
    for place in BY_HAND[name]:
        keep = lambda _m, _a, out, place=place: found.update({place: out.clone()})  # noqa: E731
        hooks.append(network.get_submodule(place).register_forward_hook(keep))
    keep_input = lambda _m, args: found.update(pool=args[0].clone())  # noqa: E731
    hooks.append(network.get_submodule(CLASSIFIERS[name]).register_forward_pre_hook(keep_input))
    with torch.no_grad():
        found["logits"] = network(images)
    for hook in hooks:
        hook.remove()
    found.pop("global_pool", None)
    return list(found.values())


def test_layers_are_those_that_hooks_by_hand_find(named, images):
    name, network = named
    layers = find_layers(network)
    with torch.no_grad(), capture(network, layers) as features_of:
        found = features_of(images[:3])
    wanted = by_hand(name, network, images[:3])
    assert len(found) == len(wanted) == len(layers)
    for one, other in zip(found.values(), wanted, strict=True):
        torch.testing.assert_close(
            one.sort(dim=1).values, other.flatten(1).sort(dim=1).values, rtol=0, atol=0
        )


def test_columns_are_those_of_features_by_hand(named, images, slow, seen_together):
    name, network = named
    moved = (images + 0.02 * torch.randn(images.shape, generator=torch.manual_seed(1))).clamp(0, 1)
    measures = clean_adversarial_similarity(network, images, moved, device=CPU)
    columns = {one.name: one for one in measures}
    batches = [
        zip(*(by_hand(name, network, one[piece]) for one in (images, moved)), strict=True)
        for piece in seen_together(len(images))
    ]
    values = [
        slow.minibatch_cka([(x.flatten(1).numpy(), y.flatten(1).numpy()) for x, y in layer])
        for layer in zip(*batches, strict=True)
    ]
    assert columns["cka_logits"].value == pytest.approx(values[-1], abs=1e-6)
    assert columns["cka_pool"].value == pytest.approx(values[-2], abs=1e-6)
    assert columns["cka_mean"].value == pytest.approx(sum(values) / len(values), abs=1e-6)
    stages = [layer for layer in find_layers(network) if layer.startswith("stage")]
    first = len(values) - 2 - len(stages)
    for k, value in enumerate(values[first:-2][:4], start=1):
        assert columns[f"cka_stage{k}"].value == pytest.approx(value, abs=1e-6)


WITH_INTERMEDIATES = [name for name in NARROW if name not in {"resnet", "wide_resnet"}]


@pytest.mark.parametrize("name", WITH_INTERMEDIATES)
def test_features_are_timms_own_intermediates(name, images):
    network = network_of(name, images)
    layers = {one: place for one, place in find_layers(network).items() if place.channels}
    with torch.no_grad(), capture(network, layers, torch.clone) as features_of:
        found = features_of(images[:2])
    with torch.no_grad():
        theirs = network.forward_intermediates(images[:2], intermediates_only=True)
    theirs = theirs[-len(found) :]
    extra = getattr(network, "num_prefix_tokens", 0)
    for ours, other in zip(found.values(), theirs, strict=True):
        if ours.ndim == 3:  # timm leaves out tokens that are no patch, and lays them out as a map
            ours = ours[:, extra:].mT.reshape(other.shape)  # noqa: PLW2901
        torch.testing.assert_close(ours, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", NARROW)
def test_the_list_of_layers_says_what_the_axes_are(name, images):
    network = network_of(name, images)
    rows = {row.layer: row for row in list_layers(network, images[:2]) if row.is_usual}
    last = [row for row in rows.values() if row.layer.startswith("stage")][-1]
    tokens, pooled = AXES[name]
    assert (last.axes, rows["pool"].axes, rows["logits"].axes) == (tokens, pooled, "classes")
    assert rows["logits"].features == (10,)


def test_a_layer_that_is_asked_for_by_two_names_is_read_once(images):
    network = network_of("vit", images)
    assert list(select_layers(network, ["stage1", "blocks.0", "logits"])) == ["stage1", "logits"]


def test_probes_read_maps_with_the_channels_last_as_others(images):
    network = network_of("swin", images)
    layer = find_layers(network)["stage1"]
    sample = UpTo(network, layer)(images[:2])
    assert sample.shape == (2, 16, 8, 8)
    assert layer.channels == 16


ORDERS = {
    "maps": ((2, 5, 4, 3), 5, (2, 5, 4, 3)),
    "maps, channels last": ((2, 4, 3, 5), 5, (2, 5, 4, 3)),
    "tokens": ((2, 7, 5), 5, (2, 7, 5)),
    "tokens, channels before": ((2, 5, 7), 5, (2, 7, 5)),
    "as many tokens as channels": ((2, 5, 5), 5, (2, 5, 5)),
    "as wide as it has channels": ((2, 4, 5, 5), 5, (2, 4, 5, 5)),
    "not told": ((2, 4, 3, 5), 0, (2, 4, 3, 5)),
    "pooled": ((2, 5), 5, (2, 5)),
    "told wrongly": ((2, 4, 3, 5), 9, (2, 4, 3, 5)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_axes_are_brought_in_order_where_that_is_clear(name):
    shape, channels, wanted = ORDERS[name]
    layer = Layer(nn.Identity(), channels=channels)
    assert in_order(torch.zeros(shape), layer).shape == wanted


WRAPPED = {
    "alone": lambda network: network,
    "adapted": lambda network: Adapted(network, Call()),
    "compiled": lambda network: torch.compile(network, backend="eager"),
    "compiled and adapted": lambda network: Adapted(
        torch.compile(network, backend="eager"), Call()
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.filterwarnings("ignore")
def test_modules_are_called_as_in_the_network_itself(name, images):
    network = network_of("convnext", images)
    wrapped = WRAPPED[name](network)
    assert bare(wrapped) is network
    wanted = ["stages.1", "head.fc", "stage2", "pool"]
    assert list(select_layers(wrapped, wanted)) == list(select_layers(network, wanted))
    assert list(select_layers(wrapped, ["all"])) == list(select_layers(network, ["all"]))
    assert list(find_layers(wrapped)) == list(find_layers(network))
