"""What a similarity of clean and adversarial images is to be compared with, instead of with zero.

- The network on noise as large as its adversarial perturbations: is it the attack, or any change?
- The same network, untrained: is it what was learnt, or how the images themselves are alike?
- The pixels: how alike are the images before any network?
"""

import copy
from typing import TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from clbench.data.stored import Images, StoredImages
from clbench.probes.layers import Layer
from clbench.schema.errors import ModelError

Named = TypeVar("Named")

PIXELS = "pixels"
"""The only layer of the representation that are the pixels."""


def as_noise(clean: Images, adversarial: Images, *, seed: int) -> StoredImages:
    """Return clean images with noise of the size of what the attack changed, image by image.

    It is what was changed, at other pixels of the same image, so that it has the same norm in every
    sense. Where that would leave [0, 1], its sign is turned, and what leaves it all the same is cut
    off. It is made when it is asked for.

    Args:
        clean: In [0, 1].
        adversarial: The same examples in the same order, attacked.
        seed: Decides the pixels, with the place of an image among the others.
    """

    def read(places: list[int]) -> Tensor:
        at = torch.tensor(places)
        images = clean[at].float()
        changes = (adversarial[at].float() - images).flatten(1)
        moved = torch.stack(
            [
                change[_order(len(change), seed, place)]
                for change, place in zip(changes, places, strict=True)
            ]
        ).view_as(images)
        outside = (images + moved < 0) | (images + moved > 1)
        return (images + torch.where(outside, -moved, moved)).clamp(0, 1)

    channels, height, width = clean.shape[1:]
    return StoredImages.of(len(clean), (channels, height, width), torch.float32, read)


def untrained(network: nn.Module, layers: Named, *, seed: int) -> tuple[nn.Module, Named]:
    """Return a copy of a network that has learnt nothing, and its layers.

    Modules that can are initialised anew, running statistics with them. Parameters of others keep
    their values in another order: as large as they were, and without what was learnt.

    Args:
        network: Left as it is.
        layers: Whatever names modules of it; the copy names those of the copy.
        seed: Decides every random number; the global state is left as found.
    """
    try:
        fresh, its_layers = copy.deepcopy((network, layers))
    except Exception as error:
        raise ModelError(
            f"{type(network).__name__} cannot be copied ({error}), so there is no untrained one "
            "beside it; name other comparisons"
        ) from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        known: set[int] = set()
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                known |= {id(one) for one in module.parameters(recurse=False)}
        for parameter in fresh.parameters():
            if id(parameter) not in known:
                order = torch.randperm(parameter.numel()).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return fresh, its_layers


def pixels() -> tuple[nn.Module, dict[str, Layer]]:
    """Return a network that passes images on, and its only layer."""
    network = nn.Identity()
    return network, {PIXELS: Layer(network, "output")}


def _order(n: int, seed: int, place: int) -> Int64[Tensor, " n"]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + place))
