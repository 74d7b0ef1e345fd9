"""Hashes of networks."""

import hashlib
import json

import torch
from torch import Tensor, nn


def fingerprint(network: nn.Module, *settings: object) -> str:
    """Return what tells a run from every other, by the network's weights and ``settings``."""
    digest = hashlib.sha256(json.dumps([str(one) for one in settings]).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, Tensor):
            digest.update(
                value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
            )
    return digest.hexdigest()


def state_sha256(network: nn.Module) -> str:
    """Return a sha256 over names, types, shapes and values of a network's state.

    It tells networks without a weights file from each other; where they run does not matter.
    """
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(f"{key} {value.dtype} {list(value.shape)}\n".encode())
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
