"""What similarity is compared with: noise as large as an attack, and a network untrained."""

import pytest
import torch
from torch import nn

from clbench.data.stored import StoredImages
from clbench.models.backbones.resnet import build_backbone
from clbench.probes.controls import as_noise, pixels, untrained
from clbench.probes.layers import find_layers
from clbench.schema.errors import ModelError

# --- noise ---


def attacked(n=20, eps=0.1):
    """Images well inside of [0, 1], and the same a little changed."""
    drawn = torch.Generator().manual_seed(0)
    clean = 0.2 + 0.6 * torch.rand(n, 2, 5, 6, generator=drawn)
    change = eps * (2 * torch.rand(clean.shape, generator=drawn) - 1)
    return clean, clean + change


@pytest.mark.parametrize("norm", [1, 2, float("inf")])
def test_noise_has_every_norm_of_what_was_changed(norm):
    clean, adversarial = attacked()
    noise = as_noise(clean, adversarial, seed=0)[:]
    one, other = ((side - clean).flatten(1).norm(norm, dim=1) for side in (adversarial, noise))
    assert other == pytest.approx(one, rel=1e-4)


def test_noise_is_at_other_pixels_and_of_each_image_by_itself():
    clean, adversarial = attacked()
    noise = as_noise(clean, adversarial, seed=0)
    changes = (noise[:] - clean).flatten(1)
    for change, its_own in zip(changes, (adversarial - clean).flatten(1), strict=True):
        assert change.sort().values == pytest.approx(its_own.sort().values, abs=1e-6)
        assert (change - its_own).abs().max() > 0.05
    assert len({tuple(change.argsort().tolist()) for change in changes}) == len(changes)


def test_noise_is_the_same_however_it_is_asked_for():
    clean, adversarial = attacked()
    whole = as_noise(clean, adversarial, seed=3)[:]
    backwards = torch.arange(19, -1, -1)
    assert as_noise(clean, adversarial, seed=3)[backwards].equal(whole[backwards])
    assert as_noise(clean, adversarial, seed=3)[7:9].equal(whole[7:9])
    assert not as_noise(clean, adversarial, seed=4)[:].equal(whole)
    stored = [
        StoredImages.of(20, (2, 5, 6), torch.float32, lambda at, x=x: x[torch.tensor(at)])
        for x in (clean, adversarial)
    ]
    assert as_noise(*stored, seed=3)[:].equal(whole)


def test_noise_stays_in_the_image_and_is_turned_rather_than_cut():
    """Pixels of 0 and 1 can change in one direction only; so could the attack's."""
    clean = torch.tensor([0.0, 1.0]).repeat(50, 4).view(50, 1, 2, 4)
    adversarial = (clean - 0.3).abs()
    noise = as_noise(clean, adversarial, seed=0)[:]
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert (noise - clean).abs() == pytest.approx(torch.full_like(clean, 0.3), abs=1e-6)


def test_images_that_no_attack_changed_have_no_noise():
    clean, _ = attacked()
    assert as_noise(clean, clean, seed=0)[:].equal(clean)


# --- untrained ---


class WithToken(nn.Module):
    """A network with a parameter that no module initialises."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.arange(12.0).view(3, 4))
        self.fc = nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.fc(x.flatten(1)[:, :4] + self.token[0]))


def test_nothing_learnt_is_left_and_the_network_is_as_it_was():
    network = WithToken().train()
    network(torch.randn(8, 1, 2, 2) + 5)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    fresh, layers = untrained(network, find_layers(network), seed=7)
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert not fresh.fc.weight.equal(network.fc.weight)
    assert fresh.norm.running_mean.equal(torch.zeros(2))
    assert not fresh.token.equal(network.token)
    assert fresh.token.flatten().sort().values.equal(network.token.flatten())
    assert not fresh.training
    assert layers["logits"].module is fresh


def test_the_seed_decides_the_weights():
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    one, same, other = (untrained(network, {}, seed=seed)[0].fc.weight for seed in (0, 0, 1))
    assert one.equal(same)
    assert not one.equal(other)


def test_every_parameter_of_a_residual_network_is_another():
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.123)
    fresh, _ = untrained(network, {}, seed=0)
    left = [name for name, one in fresh.named_parameters() if (one == 0.123).all()]
    assert left == []


def test_a_network_that_cannot_be_copied_is_named():
    network = nn.Linear(2, 2)
    network.lock = (number for number in range(3))
    with pytest.raises(ModelError, match=r"Linear cannot be copied .* name other comparisons"):
        untrained(network, {}, seed=0)


def test_pixels_are_passed_on():
    network, layers = pixels()
    images = torch.rand(3, 1, 2, 2)
    assert network(images) is images
    assert list(layers) == ["pixels"]
