"""A network is left as it was found."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from clbench.runtime.seeding import randomness

_HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    *("_backward_hooks", "_backward_pre_hooks"),
)
"""Where torch keeps the hooks of a module; it has no public way to list them."""


@contextmanager
def left_as_found(network: nn.Module, *, seed: int = 0, state: bool = False) -> Iterator[None]:
    """Let a network be run: in eval mode, parameters without gradients, random numbers known.

    Afterwards every module has its own mode and its own hooks again, every parameter its own
    ``requires_grad``, and the random numbers of torch, numpy and Python go on as before. Several
    networks are let run by a ``nn.ModuleList`` of them.

    Args:
        network: What is run.
        seed: Of random numbers, for networks and attacks that draw some.
        state: Whether parameters and buffers are set back too, which takes a copy of them. In eval
            mode hardly any network changes its own.
    """
    # frozen TorchScript has no modes
    modes = [(one, one.training) for one in network.modules() if hasattr(one, "training")]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    hooks = [(table, dict(table)) for table in _hooks(network)]
    values = {name: one.detach().clone() for name, one in _tensors(network)} if state else {}
    with randomness(seed), uncompiled():
        try:
            in_eval_mode(network)
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in wanted:
                parameter.requires_grad_(requires_grad)
            for table, before in hooks:
                table.clear()
                table.update(before)
            _set_back(network, values)


def in_eval_mode(network: nn.Module) -> None:
    """Put a network in eval mode, as far as it has modes: exported programs have none."""
    with suppress(NotImplementedError):
        network.eval()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let what ``torch.compile`` compiled run as it was written, for a while.

    Compiled passes refuse what attacks and probes ask for: two gradients of one forward pass, hooks
    that were not there, tensors that somebody listens to.
    """
    if "torch._dynamo" in sys.modules:  # it takes seconds to import, and compiling imports it
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def process_defaults() -> tuple[bool, torch.dtype, torch.device, Path]:
    """Return what code of others may change: gradients, precision, device, working folder."""
    device = torch.get_default_device()
    return torch.is_grad_enabled(), torch.get_default_dtype(), device, Path.cwd()


@contextmanager
def defaults_as_found() -> Iterator[None]:
    """Let code of others run, and set ``process_defaults`` back."""
    gradients, dtype, device, folder = before = process_defaults()
    try:
        yield
    finally:
        if process_defaults() != before:
            torch.set_grad_enabled(gradients)
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != device:
                # the usual one is none: naming it would slow every operation down
                torch.set_default_device(None if device.type == "cpu" else device)
            os.chdir(folder)


def _hooks(network: nn.Module) -> Iterator[dict[int, object]]:
    for module in network.modules():
        yield from (vars(module)[name] for name in _HOOKS if name in vars(module))


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


@torch.no_grad()
def _set_back(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    # a network may have put another tensor in the place of a buffer, of another shape too
    for name, tensor in list(_tensors(network)):
        if name not in values or torch.equal(tensor, values[name]):
            continue
        if tensor.shape == values[name].shape:
            tensor.copy_(values[name])
        else:
            owner, _, last = name.rpartition(".")
            setattr(network.get_submodule(owner), last, values[name])
