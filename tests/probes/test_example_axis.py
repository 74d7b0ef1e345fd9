"""The axis of the examples is asked for, in any order of the axes and however long they are."""

import pytest
import torch
from torch import nn

from clbench.probes.clean_adversarial import clean_adversarial_similarity
from clbench.probes.features import capture, with_example_axes
from clbench.probes.layers import Layer, find_layers
from clbench.probes.linear.truncated import UpTo
from clbench.probes.listing import list_layers

CPU = torch.device("cpu")
ORDERS = {"batch first": (0, 1, 2), "tokens first": (1, 0, 2), "batch last": (1, 2, 0)}


class Tokens(nn.Module):
    """Embeds patches as tokens, whose axes stand in some order at ``layer1`` and ``layer2``."""

    def __init__(self, order=(0, 1, 2)):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embed, self.fc = nn.Conv2d(1, 6, 2, 2), nn.Linear(6, 10)
        self.layer1, self.layer2, self.order = nn.Identity(), nn.Tanh(), order

    def forward(self, x):
        tokens = self.embed(x).flatten(2).mT.permute(self.order)
        tokens = self.layer2(self.layer1(tokens))
        back = [self.order.index(axis) for axis in range(3)]
        return self.fc(tokens.permute(back).mean(1))


@pytest.fixture(scope="module")
def images():
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 16, 20])  # 16 is also the number of tokens
def test_features_have_the_examples_first_in_any_order_of_the_axes(order, n, images):
    network, plain = Tokens(order), Tokens()
    layers = with_example_axes(network, find_layers(network), images)
    with capture(network, layers, torch.clone) as features_of:
        found = features_of(images[:n])
    with capture(plain, find_layers(plain), torch.clone) as features_of:
        wanted = features_of(images[:n])
    assert found.keys() == wanted.keys()
    for name, features in found.items():
        assert len(features) == n
        same = features.flatten(1).sort(dim=1).values
        torch.testing.assert_close(same, wanted[name].flatten(1).sort(dim=1).values)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_similarity_does_not_depend_on_the_order_of_the_axes(order, batch_size, images):
    moved = (images + 0.1 * torch.randn_like(images)).clamp(0, 1)
    found, wanted = (
        clean_adversarial_similarity(one, images, moved, device=CPU, batch_size=batch_size)
        for one in (Tokens(order), Tokens())
    )
    for one, other in zip(found, wanted, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6, nan_ok=True)


def test_a_layer_without_an_axis_of_the_examples_is_absent(images):
    class Attention(Tokens):
        def forward(self, x):
            self.layer1(torch.ones(len(x), len(x)))  # two axes grow
            self.layer2(torch.ones(7, 3))  # none does
            return super().forward(x).mul(1)

    network = Attention()
    layers = {"grown": Layer(network.layer1), "fixed": Layer(network.layer2)}
    asked = with_example_axes(network, layers, images)
    assert [layer.axis for layer in asked.values()] == [None, None]
    with capture(network, asked) as features_of:
        assert features_of(images[:3]).keys() <= {"grown#2", "fixed#2"}


def test_features_up_to_a_layer_have_the_examples_first(images):
    network = Tokens(ORDERS["tokens first"])
    layers = with_example_axes(network, {"layer2": Layer(network.layer2)}, images)
    assert UpTo(network, layers["layer2"])(images[:16]).shape == (16, 16, 6)
    torch.testing.assert_close(
        UpTo(network, layers["layer2"])(images[:5]),
        UpTo(network, layers["layer2"])(images[:16])[:5],
    )


def test_layers_are_listed_with_the_features_of_one_image(images):
    rows = {row.layer: row for row in list_layers(Tokens(ORDERS["tokens first"]), images)}
    assert rows["stage2.0"].features == (16, 6)
    assert rows["logits"] == ("logits", "Tokens", (10,), True, "classes")
    assert rows["embed"].features == (6, 4, 4)
    assert not rows["embed"].is_usual


@pytest.mark.parametrize(
    "change",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_parametrized_classifier_keeps_its_pooled_features(change):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    change(network[-1])
    assert find_layers(network)["pool"] == Layer(network[-1], "input")
