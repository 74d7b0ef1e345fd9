"""Hashes of networks."""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def state_sha256(network: nn.Module) -> str:
    """Return a sha256 over names, types, shapes and values of a network's state.

    It tells networks without a weights file from each other; where they run does not matter.
    """
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        # nothing is known yet of lazy layers, and nothing at all of tensors on no device
        if isinstance(value, Tensor) and not is_lazy(value) and not value.is_meta:
            digest.update(f"{key} {value.dtype} {list(value.shape)}\n".encode())
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
