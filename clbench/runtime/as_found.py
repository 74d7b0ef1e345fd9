"""A network is left as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into eval mode without parameter gradients; afterwards restore both."""
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


@contextmanager
def left_as_found(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore the mode and the state of ``network``, and random numbers, afterwards."""
    modes = {module: module.training for module in network.modules()}
    state = {key: value.clone() for key, value in _tensors(network)}
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for key, value in _tensors(network):
                if key in state and not torch.equal(value, state[key]):
                    value.copy_(state[key])


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for key, value in network.state_dict().items():
        if isinstance(value, Tensor):
            yield key, value.detach()


@contextmanager
def undisturbed(network: nn.Module, device: torch.device, *, seed: int = 0) -> Iterator[None]:
    """Let the network be run in evaluation mode, without gradients and with known randomness.

    CUDA keeps all digits of float32. Afterwards every module has its own mode again, and the random
    state of the CPU and of ``device`` is what it was. ``seed`` matters to networks that draw random
    numbers only. Several networks are let run by a ``nn.ModuleList`` of them.
    """
    modes = {module: module.training for module in network.modules()}
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), torch.no_grad(), _whole_float32():
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        network.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Keep CUDA from shortening float32 to the ten bits of TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = False
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def without_parameter_gradients(networks: nn.Module) -> Iterator[None]:
    """Let an attack not calculate or leave gradients of parameters."""
    wanted = [(parameter, parameter.requires_grad) for parameter in networks.parameters()]
    try:
        networks.requires_grad_(requires_grad=False)
        yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)
