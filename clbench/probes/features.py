"""Where a network is tapped, and what flows there during a forward pass."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count, pairwise, takewhile
from typing import Any, Literal, NamedTuple, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_STAGE_NAMES = ("layer", "block")
"""What ResNets and wide ResNets call their stages, before the number."""

_PYRAMID = 5
"""Levels of timm's feature pyramids; with so many, the first is the stem's."""


class Tap(NamedTuple):
    """A place in a network: what goes into a module, or what comes out of it."""

    module: nn.Module
    side: Literal["input", "output"] = "output"


Taps = dict[str, Tap]
Forward = Callable[[Tensor], dict[str, Tensor]]


def find_taps(network: nn.Module) -> Taps:
    """Return the places whose representations are compared, by name, from the image onwards.

    - ResNets (stages ``layer1``, ``layer2``, ... or ``block1``, ``block2``, ..., as in timm,
      torchvision and RobustBench): ``stem`` is the output of ``act1``, or what enters the first
      stage where there is no such module; ``stage1.0``, ``stage1.1``, ... that of every block.
    - Other networks that list their levels in timm's ``feature_info``: ``stage1``, ``stage2``, ...
      in that order. Where there are five levels or more, each smaller than the one before, the
      first is called ``stem`` and the numbers begin after it.
    - ``pool``, wherever the classifier is known: the output of ``global_pool`` in a ResNet, else
      what enters the classifier.
    - ``logits``, always: what the network returns.

    A network inside another one, behind a normalisation for example, is found too, unless there
    are several. Nothing but attributes is asked, so the network may come from anywhere.
    """
    core = _core(network)
    inner = {} if core is None else _resnet_taps(core) or _timm_taps(core)
    pool = _pool(network if core is None else core)
    return inner | ({"pool": pool} if pool else {}) | {"logits": Tap(network)}


def stage_ends(names: list[str]) -> list[str]:
    """Return the last tap of every stage, in order.

    >>> stage_ends(["stem", "stage1.0", "stage1.1", "stage2.0", "pool", "logits"])
    ['stage1.1', 'stage2.0']
    """
    ends = {name.partition(".")[0]: name for name in names if name.startswith("stage")}
    return list(ends.values())


@contextmanager
def capture(
    network: nn.Module, taps: Mapping[str, Tap], keep: Callable[[Tensor], Tensor] = torch.clone
) -> Iterator[Forward]:
    """Yield a function that runs the network once and returns what flowed at each tap.

    The function maps images [n, c, h, w] to features by tap name, in the order of execution. A tap
    that is passed k times in one run is ``name``, ``name#2``, ..., ``name#k``; one that is not
    passed, or does not carry a tensor with one row per example, is absent.

    Args:
        network: It is run as it is: mode and device are the caller's.
        taps: Where to listen.
        keep: What to keep of features [n, d], which are flattened and detached; called before the
            network goes on, since later layers may overwrite them in place. It must return
            something of its own: a copy, by default.

    All hooks are gone when the context ends, whatever ends it.
    """
    found: dict[str, Tensor] = {}
    n_images = 0

    def note(name: str, carried: Any) -> None:  # noqa: ANN401 - whatever a module takes or gives
        if not isinstance(carried, Tensor) or not carried.is_floating_point():
            return
        if carried.shape[:1] != (n_images,):
            return
        names = (name if k == 1 else f"{name}#{k}" for k in count(1))
        free = next(one for one in names if one not in found)
        found[free] = keep(carried.detach().reshape(n_images, -1))

    def forward(images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        nonlocal n_images
        found.clear()
        n_images = len(images)
        network(images)
        return dict(found)

    with ExitStack() as hooks:
        for name, tap in taps.items():
            hooks.enter_context(_hook(name, tap, note))
        yield forward


@contextmanager
def undisturbed(network: nn.Module, device: torch.device, *, seed: int = 0) -> Iterator[None]:
    """Let the network be run in evaluation mode, without gradients and with known randomness.

    Afterwards every module has its own mode again, and the random state of the CPU and of
    ``device`` is what it was. ``seed`` matters to networks that draw random numbers only.
    """
    modes = {module: module.training for module in network.modules()}
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), torch.no_grad():
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


def _hook(name: str, tap: Tap, note: Callable[[str, Any], None]) -> RemovableHandle:
    if tap.side == "output":
        return tap.module.register_forward_hook(lambda _module, _args, out: note(name, out))
    return tap.module.register_forward_pre_hook(
        lambda _module, args: note(name, args[0] if args else None)
    )


def _core(network: nn.Module) -> nn.Module | None:
    """Return the one network inside ``network``, itself included, whose levels are known."""
    known = [module for module in network.modules() if _stages(module) or _levels(module)]
    inside = {part for module in known for part in module.modules() if part is not module}
    outermost = [module for module in known if module not in inside]
    return outermost[0] if len(outermost) == 1 else None


def _levels(module: nn.Module) -> list[Mapping[str, Any]]:
    info = getattr(module, "feature_info", None)
    if not isinstance(info, list):
        return []
    names = {name for name, _ in module.named_modules() if name}
    return [row for row in info if isinstance(row, Mapping) and row.get("module") in names]


def _stages(module: nn.Module) -> list[nn.Module]:
    """Return the stages of a ResNet, empty for anything else."""
    for name in _STAGE_NAMES:
        numbered = (getattr(module, f"{name}{k}", None) for k in count(1))
        stages = [stage for stage in takewhile(_is_module, numbered) if _is_module(stage)]
        if len(stages) > 1:
            return stages
    return []


def _blocks(stage: nn.Module) -> list[nn.Module]:
    parts = list(stage.children())
    if isinstance(stage, nn.Sequential):
        return parts
    only_wraps = len(parts) == 1 and isinstance(parts[0], nn.Sequential)
    return list(parts[0].children()) if only_wraps else [stage]


def _resnet_taps(core: nn.Module) -> Taps:
    stages = _stages(core)
    if not stages:
        return {}
    act = getattr(core, "act1", None)
    taps = {"stem": Tap(act) if _is_module(act) else Tap(stages[0], "input")}
    for k, stage in enumerate(stages, start=1):
        taps |= {f"stage{k}.{i}": Tap(block) for i, block in enumerate(_blocks(stage))}
    return taps


def _timm_taps(core: nn.Module) -> Taps:
    levels = _levels(core)
    reductions = [row.get("reduction", 0) for row in levels]
    shrinks = all(fine < coarse for fine, coarse in pairwise(reductions))
    n_stems = 1 if shrinks and len(levels) >= _PYRAMID else 0
    names = ["stem"] * n_stems + [f"stage{k + 1}" for k in range(len(levels) - n_stems)]
    return {
        name: Tap(core.get_submodule(row["module"]))
        for name, row in zip(names, levels, strict=True)
    }


def _pool(core: nn.Module) -> Tap | None:
    pool = getattr(core, "global_pool", None)
    if _stages(core) and _is_module(pool):
        return Tap(pool)
    classifier = _classifier(core)
    return None if classifier is None else Tap(classifier, "input")


def _classifier(core: nn.Module) -> nn.Module | None:
    """Return what turns pooled features into logits: what timm calls so, or a final Linear."""
    if callable(ask := getattr(core, "get_classifier", None)):
        answer = ask()
        named = answer[0] if isinstance(answer, tuple) else answer
        return named if isinstance(named, nn.Module) and _has_parameters(named) else None
    with_parameters = [module for module in core.modules() if _has_parameters(module)]
    last = with_parameters[-1] if with_parameters else None
    return last if isinstance(last, nn.Linear) else None


def _is_module(found: object) -> TypeGuard[nn.Module]:
    return isinstance(found, nn.Module)


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None
