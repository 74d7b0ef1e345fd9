"""The layers of a network: the places whose representations are compared."""

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise, takewhile
from typing import Any, Literal, NamedTuple, TypeGuard

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from clbench.models.calling import bare
from clbench.schema.names import closest, unknown
from clbench.schema.records import MOST_STAGES

EVERYTHING = "all"
"""Stands for every module that computes something, and the logits."""

_STAGE_NAMES = ("layer", "block")
"""What ResNets and wide ResNets call their stages, before the number."""

_PYRAMID = 5
"""Levels of timm's feature pyramids; with so many, the first is the stem's."""


class Layer(NamedTuple):
    """A place in a network: what goes into a module, or what comes out of it.

    ``axis`` is where what flows there has an entry for each example, None where that is nowhere;
    the first one, unless the network was asked by ``with_example_axes``. ``channels`` is how many
    there are, where the network tells, so that their axis is known: some have them last.
    """

    module: nn.Module
    side: Literal["input", "output"] = "output"
    axis: int | None = 0
    channels: int = 0

    @property
    def place(self) -> tuple[nn.Module, str]:
        """Where it is, whatever is known of it."""
        return self.module, self.side


Layers = dict[str, Layer]


def find_layers(network: nn.Module) -> Layers:
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
    core = core_of(network)
    inner = {} if core is None else _resnet_layers(core) or _timm_layers(core)
    pool = _pool(network if core is None else core)
    return inner | ({"pool": pool} if pool else {}) | {"logits": Layer(network)}


def stage_ends(names: list[str]) -> list[str]:
    """Return the last layer of every stage, in order.

    >>> stage_ends(["stem", "stage1.0", "stage1.1", "stage2.0", "pool", "logits"])
    ['stage1.1', 'stage2.0']
    """
    ends = {name.partition(".")[0]: name for name in names if name.startswith("stage")}
    return list(ends.values())


def quarter_ends(names: list[str]) -> list[str]:
    """Return the last layer of every stage, or of every quarter of more than four stages.

    >>> quarter_ends([f"stage{k}" for k in range(1, 9)])
    ['stage2', 'stage4', 'stage6', 'stage8']
    """
    ends = stage_ends(names)
    if len(ends) <= MOST_STAGES:
        return ends
    return [ends[math.ceil(len(ends) * k / MOST_STAGES) - 1] for k in range(1, MOST_STAGES + 1)]


def select_layers(network: nn.Module, wanted: Sequence[str]) -> Layers:
    """Return the layers that were asked for by name; without any, those of ``find_layers``.

    A name is one that ``find_layers`` gives (``stage2.1``), a stage (``stage2``: its blocks),
    a module's own (``layer3.0.conv2``), a pattern of either (``layer*.conv2``, where ``*`` also
    stands for dots), or ``EVERYTHING``: every module without parts that is no ``Identity``, and the
    logits. A place asked for twice is read once, under its first name. What flows is noted in the
    order of execution, whatever the order of the names.

    Raises:
        UnknownNameError: No such place; the message suggests the nearest name.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Identity(), nn.Linear(3, 2))
    >>> list(select_layers(network, ["1"])), list(select_layers(network, ["all"]))
    (['1'], ['0', '1', '3', 'logits'])
    """
    usual = find_layers(network)
    if not wanted:
        return usual
    named = {name: Layer(module) for name, module in bare(network).named_modules() if name}
    chosen: Layers = {}
    for name in wanted:
        chosen |= _everything(network) if name == EVERYTHING else _matching(name, usual, named)
    first_names = {one.place: name for name, one in reversed(chosen.items())}
    return {name: one for name, one in chosen.items() if first_names[one.place] == name}


def _everything(network: nn.Module) -> Layers:
    leaves = {
        name: Layer(module)
        for name, module in bare(network).named_modules()
        if name
        and not any(module.children())
        and not isinstance(module, nn.Identity)
        and "parametrizations" not in name.split(".")
    }
    return leaves | {"logits": Layer(network)}


def _matching(name: str, usual: Layers, named: Layers) -> Layers:
    places = named | usual
    if any(sign in name for sign in "*?["):
        known = fnmatch.filter(places, name)
    else:  # of a stage, its blocks
        known = [name] if name in places else [one for one in usual if one.startswith(f"{name}.")]
    if not known or known[0] not in places:
        # networks have hundreds of modules: without a near name, only the usual layers are listed
        raise unknown(name, places if closest(name, places) else usual, "layer")
    return {one: places[one] for one in known}


def core_of(network: nn.Module) -> nn.Module | None:
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


def _resnet_layers(core: nn.Module) -> Layers:
    stages = _stages(core)
    if not stages:
        return {}
    act = getattr(core, "act1", None)
    layers = {"stem": Layer(act) if _is_module(act) else Layer(stages[0], "input")}
    for k, stage in enumerate(stages, start=1):
        layers |= {f"stage{k}.{i}": Layer(block) for i, block in enumerate(_blocks(stage))}
    return layers


def _timm_layers(core: nn.Module) -> Layers:
    levels = _levels(core)
    reductions = [row.get("reduction", 0) for row in levels]
    shrinks = all(fine < coarse for fine, coarse in pairwise(reductions))
    n_stems = 1 if shrinks and len(levels) >= _PYRAMID else 0
    names = ["stem"] * n_stems + [f"stage{k + 1}" for k in range(len(levels) - n_stems)]
    return {
        name: Layer(core.get_submodule(row["module"]), channels=row.get("num_chs", 0))
        for name, row in zip(names, levels, strict=True)
    }


def _pool(core: nn.Module) -> Layer | None:
    pool = getattr(core, "global_pool", None)
    if _stages(core) and _is_module(pool):
        return Layer(pool)
    classifier = _classifier(core)
    return None if classifier is None else Layer(classifier, "input")


def _classifier(core: nn.Module) -> nn.Module | None:
    """Return what turns pooled features into logits: what timm calls so, or a final Linear."""
    if callable(ask := getattr(core, "get_classifier", None)):
        answer = ask()
        named = answer[0] if isinstance(answer, tuple) else answer
        return named if isinstance(named, nn.Module) and _has_parameters(named) else None
    with_parameters = [module for module in _own_modules(core) if _has_parameters(module)]
    last = with_parameters[-1] if with_parameters else None
    return last if isinstance(last, nn.Linear) else None


def _own_modules(core: nn.Module) -> Iterator[nn.Module]:
    """Yield all modules but those that compute a parameter of another, as weight norm does."""
    yield core
    for name, module in core.named_children():
        if not (name == "parametrizations" and is_parametrized(core)):
            yield from _own_modules(module)


def _is_module(found: object) -> TypeGuard[nn.Module]:
    return isinstance(found, nn.Module)


def _has_parameters(module: nn.Module) -> bool:
    own = next(module.parameters(recurse=False), None) is not None
    return own or is_parametrized(module)
