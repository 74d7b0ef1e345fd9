import torch
from torch import nn

from clbench.runtime.tiles import MAX_ON_CPU, choose_batch_size


class Wide(nn.Module):
    """Keeps ``mib`` MiB for each image of its backward pass."""

    def __init__(self, mib):
        super().__init__()
        self.width = mib << 18

    def forward(self, images):
        return images.flatten(1)[:, :1].expand(-1, self.width).square().mean(1)[:, None]


def test_small_networks_get_the_largest_batch():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert choose_batch_size(network, torch.rand(1, 1, 8, 8)) == MAX_ON_CPU


def test_networks_that_keep_much_get_fewer_images():
    images = torch.rand(1, 1, 8, 8)
    sizes = [choose_batch_size(Wide(mib), images) for mib in (1, 16, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 8


def test_the_choice_is_always_the_same_and_a_power_of_two():
    network, images = Wide(3), torch.rand(1, 1, 8, 8)
    sizes = {choose_batch_size(network, images) for _ in range(5)}
    assert len(sizes) == 1
    assert bin(sizes.pop()).count("1") == 1


def test_linear_networks_keep_nothing_and_still_get_a_batch():
    assert choose_batch_size(nn.Flatten(), torch.rand(1, 1, 2, 2)) == MAX_ON_CPU
