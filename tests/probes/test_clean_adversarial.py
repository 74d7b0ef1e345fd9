import math

import pytest
import torch
from scipy.stats import t
from torch import nn

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.clean_adversarial import _shown, clean_adversarial_similarity
from clbench.schema.records import CKA_COLUMNS

CPU = torch.device("cpu")


def probe(network, clean, adversarial, **options):
    measures = clean_adversarial_similarity(network, clean, adversarial, device=CPU, **options)
    return {measure.name: measure for measure in measures}


def features_by_hand(network, images):
    """Every layer of our ResNet, one by one, in the order of the columns' mean."""
    with torch.no_grad():
        x = network.bn1(network.conv1(images)).relu()
        layers = {"stem": x}
        for k in (1, 2, 3, 4):
            for i, block in enumerate(getattr(network, f"layer{k}")):
                x = layers[f"stage{k}.{i}"] = block(x.clone())
        layers["pool"] = x.mean(dim=(2, 3))
        layers["logits"] = network.fc(layers["pool"])
    return {name: features.flatten(1).numpy() for name, features in layers.items()}


def test_the_columns_are_those_of_the_definition_on_a_network_run_by_hand(
    slow, pairs_of_images, seen_together
):
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    clean, adversarial = pairs_of_images(150, shape=(1, 8, 8))
    pieces = seen_together(150)
    hand = [
        (features_by_hand(network, clean[piece]), features_by_hand(network, adversarial[piece]))
        for piece in pieces
    ]
    batches = {layer: [(c[layer], a[layer]) for c, a in hand] for layer in hand[0][0]}
    found = probe(network, clean, adversarial)
    shown = {"cka_stem": "stem", "cka_pool": "pool", "cka_logits": "logits"}
    shown |= {f"cka_stage{k}": f"stage{k}.1" for k in (1, 2, 3, 4)}
    for column, layer in shown.items():
        expected = slow.minibatch_cka(batches[layer])
        assert found[column].value == pytest.approx(expected, abs=1e-9)
        interval = slow.jackknife_interval(batches[layer])
        assert (found[column].low, found[column].high) == pytest.approx(interval, abs=1e-9)
    mean = sum(slow.minibatch_cka(one) for one in batches.values()) / len(batches)
    assert len(batches) == 11
    assert found["cka_mean"].value == pytest.approx(mean, abs=1e-9)


def test_the_interval_of_the_mean_is_the_jackknife_of_the_mean(
    slow, pairs_of_images, seen_together
):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 5))
    clean, adversarial = pairs_of_images(120)
    batches = [(clean[piece], adversarial[piece]) for piece in seen_together(120)]
    with torch.no_grad():
        layers = [
            [(part(c).numpy(), part(a).numpy()) for c, a in batches]
            for part in (network[:3], network)
        ]
    n = len(layers[0])
    left_out = [
        sum(slow.minibatch_cka(layer[:b] + layer[b + 1 :]) for layer in layers) / 2
        for b in range(n)
    ]
    spread = sum((one - sum(left_out) / n) ** 2 for one in left_out)
    half = t.ppf(0.975, n - 1) * math.sqrt((n - 1) / n * spread)
    mean = probe(network, clean, adversarial)["cka_mean"]
    assert (mean.low, mean.high) == pytest.approx((mean.value - half, mean.value + half), abs=1e-9)


def test_unchanged_images_are_wholly_alike(small_resnet, pairs_of_images):
    clean, _ = pairs_of_images(100)
    found = probe(small_resnet, clean, clean)
    for name in set(CKA_COLUMNS) - {"cka_stage3", "cka_stage4"}:
        assert found[name].value == pytest.approx(1, abs=1e-9)
        assert found[name].n == 100
        assert found[name].low == pytest.approx(1, abs=1e-9)


def test_stronger_changes_make_features_less_alike(small_resnet, pairs_of_images):
    values = []
    for change in (0.02, 0.2, 1.0):
        torch.manual_seed(1)
        values.append(probe(small_resnet, *pairs_of_images(200, change=change))["cka_mean"].value)
    assert values == sorted(values, reverse=True)


def test_other_examples_are_not_alike(small_resnet, pairs_of_images):
    clean, adversarial = pairs_of_images(320)
    found = probe(small_resnet, clean, adversarial.flip(0))
    assert abs(found["cka_stem"].value) < 0.1


def test_a_column_without_a_layer_says_so(small_resnet, pairs_of_images):
    found = probe(small_resnet, *pairs_of_images(40))
    assert math.isnan(found["cka_stage3"].value)
    assert found["cka_stage3"].reason == "the network has no such layer"
    assert found["cka_mean"].reason == ""


def test_a_network_with_dead_features_has_a_reason_and_no_error(small_resnet, pairs_of_images):
    with torch.no_grad():
        small_resnet.fc.weight.zero_()
    found = probe(small_resnet, *pairs_of_images(40))
    assert found["cka_logits"].reason == "features do not vary"
    assert math.isnan(found["cka_mean"].value)
    assert found["cka_mean"].reason == "logits: features do not vary"
    assert 0 < found["cka_pool"].value < 1


@pytest.mark.parametrize("n", [1, 3])
def test_few_examples_have_a_reason_and_no_error(small_resnet, pairs_of_images, n):
    found = probe(small_resnet, *pairs_of_images(n))
    assert {measure.n for measure in found.values()} == {n}
    assert found["cka_stem"].reason == "fewer than 4 examples"
    assert found["cka_mean"].reason == "stem: fewer than 4 examples"


class NoTensor(nn.Module):
    def forward(self, x):
        return {"logits": x}


def test_a_layer_that_carries_no_tensor_has_a_reason_and_no_error(pairs_of_images):
    found = probe(NoTensor(), *pairs_of_images(40))
    assert found["cka_logits"].reason == "no tensor with one row per example passes there"


def test_few_examples_are_divided_so_that_there_is_an_interval(small_resnet, pairs_of_images):
    found = probe(small_resnet, *pairs_of_images(40))
    assert found["cka_stem"].low < found["cka_stem"].value < found["cka_stem"].high


def test_a_network_that_draws_random_numbers_gives_the_same_twice(pairs_of_images):
    class Noisy(nn.Module):
        def forward(self, x):
            return x.flatten(1) + torch.randn(len(x), 36)

    images = pairs_of_images(40)
    first = probe(Noisy(), *images)["cka_logits"]
    assert probe(Noisy(), *images)["cka_logits"] == first


def test_more_than_four_stages_are_shown_by_quarters():
    twelve = ["stem", *(f"stage{k}" for k in range(1, 13)), "pool", "logits"]
    five = [f"stage{k}" for k in range(1, 6)]
    assert [_shown("cka", twelve)[f"cka_stage{k}"] for k in (1, 2, 3, 4)] == [
        *("stage3", "stage6", "stage9", "stage12")
    ]
    assert [_shown("cka", five)[f"cka_stage{k}"] for k in (1, 2, 3, 4)] == [
        *("stage2", "stage3", "stage4", "stage5")
    ]
