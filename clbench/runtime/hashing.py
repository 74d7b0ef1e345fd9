"""Hashes of networks."""

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def state_sha256(network: nn.Module) -> str:
    """Return a sha256 over names, types, shapes and values of a network's state.

    It tells networks without a weights file from each other; where they run does not matter. Lazy
    parameters, which have neither shape nor values yet, count with their names.
    """
    return tensors_sha256(network.state_dict())


def tensors_sha256(state: Mapping[str, object]) -> str:
    """Return the sha256 of a state, or of a part of one; what is no tensor does not count."""
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        if isinstance(value, Tensor):
            shape = "lazy" if is_lazy(value) else list(value.shape)
            digest.update(f"{key} {value.dtype} {shape}\n".encode())
            for plain in _parts(value):
                digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _parts(value: Tensor) -> Iterator[Tensor]:
    """Yield plain tensors that hold all values of one, which may be sparse or quantised."""
    if is_lazy(value) or value.is_meta:
        return
    value = value.detach().cpu()
    if value.is_sparse:
        together = value.coalesce()
        yield from (together.indices().contiguous(), together.values().contiguous())
    elif value.is_quantized:
        yield from (value.dequantize().contiguous(), value.int_repr().contiguous())
    else:
        yield value.resolve_conj().resolve_neg().contiguous()
