"""A network and the random numbers are left as they were found, or it is said what was not."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from clbench.testing.law import hold


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Assert that what runs inside changes neither the network nor the random numbers after it.

    Those of torch and numpy, that is; Python's own are drawn by checks of types in tests.

    Raises:
        AssertionError: It does; the message names what changed.
    """
    before = _traits(network)
    yield
    for trait, value in _traits(network).items():
        hold(value == before[trait], f"{trait} changed")


def _traits(network: nn.Module) -> dict[str, object]:
    modules, parameters = list(network.modules()), list(network.parameters())
    return {
        "weights or buffers": {key: _bytes(value) for key, value in _tensors(network).items()},
        "the mode of a module": [module.training for module in modules],
        "gradients": [p.grad is not None and _bytes(p.grad) for p in parameters],
        "which parameters want gradients": [p.requires_grad for p in parameters],
        "hooks": [_hooks(module) for module in modules],
        "the random state of torch": _bytes(torch.get_rng_state()),
        "the random state of numpy": _numpy_state(),
    }


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())


def _hooks(module: nn.Module) -> list[list[int]]:
    tables = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return [list(table) for table in tables]


def _numpy_state() -> object:
    _, keys, *rest = np.random.get_state()  # noqa: NPY002 - the one that packages draw from
    return np.asarray(keys).tobytes(), rest


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes())
