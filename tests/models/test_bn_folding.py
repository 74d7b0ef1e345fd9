import pytest
import torch
from torch import nn

from clbench.models import BACKBONES, build_backbone
from clbench.models.bn_folding import FoldedCopy, fold

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def shake():
    """Return a function that changes weights and statistics, as a training step would."""

    def change(network):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * parameter.std(unbiased=False) * torch.randn_like(parameter))
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.uniform_(-0.5, 0.5)
                    module.running_var.uniform_(0.5, 2)
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)

    return change


def assert_alike(folded, network):
    with torch.no_grad():
        expected, found = network.eval()(IMAGES), folded(IMAGES)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_folded_copy_follows_the_network_it_was_made_from(name, shake):
    network = build_backbone(name, in_chans=1, num_classes=10)
    folded = FoldedCopy(network)
    for _ in range(2):
        shake(network)
        folded.refresh()
        assert_alike(folded.network, network)


def test_a_folded_copy_is_of_the_network_as_it_was_until_it_is_refreshed(make_network, shake):
    network = make_network()
    shake(network)
    folded = FoldedCopy(network)
    before = folded.network(IMAGES)
    shake(network)
    assert torch.equal(folded.network(IMAGES), before)
    folded.refresh()
    assert not torch.allclose(folded.network(IMAGES), before)


def test_refreshing_changes_nothing_of_the_original(make_network, shake):
    network = make_network().train()
    shake(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    FoldedCopy(network).refresh()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_folded_copy_shares_no_memory_with_its_original(make_network):
    network = make_network()
    folded = FoldedCopy(network)
    folded.refresh()
    mine = {parameter.data_ptr() for parameter in network.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in folded.network.parameters())


def test_a_folded_network_has_no_batch_norm_and_takes_no_gradients(make_network):
    folded = fold(make_network().train())
    assert not folded.training
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert folded.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_what_holds_a_network_is_folded_too(make_network, shake):
    class Holder(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.inner = network
            self.head = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 2))

        def forward(self, images):
            return self.head(self.inner(images))

    holder = Holder(make_network())
    folded = FoldedCopy(holder)
    shake(holder)
    folded.refresh()
    assert_alike(folded.network, holder)


def test_the_gradient_at_the_images_is_that_of_the_network(make_network, shake):
    network = make_network()
    shake(network)
    slopes = []
    for one in (network.eval(), fold(network)):
        images = IMAGES.clone().requires_grad_()
        one(images).square().sum().backward()
        slopes.append(images.grad)
    scale = float(slopes[0].abs().max())
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-3, atol=1e-4 * scale)
