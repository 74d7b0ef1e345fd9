"""How many images to attack at once, decided so that equal commands decide equally."""

from bisect import bisect_left

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_ON_CPU = 256
MAX_ON_GPU = 1024

_CPU_MEMORY = 2 << 30
_SHARE = 4  # gradients and the attack's own copies need room beside what a backward pass keeps


_MOST_PIXELS = (20 * 20, 64 * 64, 160 * 160)
_TILES = {"cpu": (128, 16, 8, 8), "cuda": (1024, 512, 256, 128)}
"""Images in a tile, by the kind of device: those with at most so many pixels, and larger ones."""


def tile_of(images: Float[Tensor, "n c h w"], device: torch.device | str) -> int:
    """Return how many images of this size make a tile for attacks of clbench's own.

    Logits differ in their last bits between batches of different shapes, so this depends on the
    images' height and width and on the kind of device alone: it is the same for every network, on
    all machines of one kind, and in every shard of a data set. Where few examples are left, a tile
    is filled up, so that large ones cost more; small ones leave a processor idle.
    """
    pixels = images.shape[2] * images.shape[3]
    tiles = _TILES.get(torch.device(device).type, _TILES["cpu"])
    return tiles[bisect_left(_MOST_PIXELS, pixels)]


def choose_batch_size(network: nn.Module, images: Float[Tensor, "n c h w"]) -> int:
    """Return a batch size for attacks on ``network``, by what its backward pass must keep.

    It depends on the network, the shape of the images and the device's whole memory, not on what
    is free just now: the same command chooses the same again.
    """
    device = images.device
    if device.type == "cuda":
        memory, most = torch.cuda.get_device_properties(device).total_memory, MAX_ON_GPU
    else:
        memory, most = _CPU_MEMORY, MAX_ON_CPU
    room = memory // (_SHARE * kept_bytes(network, images))
    return max(1, min(most, 1 << (room.bit_length() - 1) if room else 1))


def kept_bytes(network: nn.Module, images: Float[Tensor, "n c h w"]) -> int:
    """Return how many bytes a forward pass keeps for the backward one, for each image."""
    one, two = (_all_kept(network, images[:1].expand(n, -1, -1, -1)) for n in (1, 2))
    return max(two - one, 1)


def _all_kept(network: nn.Module, images: Float[Tensor, "n c h w"]) -> int:
    total = 0

    def note(kept: Tensor) -> Tensor:
        nonlocal total
        total += kept.nbytes
        return kept

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        network(images.clone().requires_grad_())
    return total
