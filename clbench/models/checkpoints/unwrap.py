"""The state dicts inside a checkpoint: trainings wrap them in tables of many names."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from clbench.models.checkpoints.stand_ins import StandIn

WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("model_state", "net_state_dict", "best_state_dict", "classifier", "backbone", "encoder"),
    *("student", "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "teacher"),
)
"""How projects call the weights in their checkpoints; of several that fit, the first is taken."""

EXTRA_STATE = "_extra_state"
"""How the name of what a module's ``get_extra_state`` gives ends."""

_DEPTH = 4
"""Tables around a state dict, at most."""

_DEEPEST = 50
"""Modules within modules, at most; only made-up files have more."""


class StateDict(NamedTuple):
    """Tensors by name, and by which keys of the checkpoint they are found.

    ``whole`` says that it is of a network that was saved with its code, which is not run.
    """

    keys: tuple[str, ...]
    weights: Mapping[str, object]
    whole: bool = False

    @property
    def where(self) -> str:
        """Where it is, in words; "" for a file that is nothing else."""
        at = f"'{'.'.join(self.keys)}'" if self.keys else ""
        return f"the whole network {at}".strip() if self.whole else at


def state_dicts(content: object) -> list[StateDict]:
    """Return every state dict in a checkpoint, those with usual names first.

    Optimizers keep no tensors by name, only by number, so that they are none.
    """
    return sorted(_found(content, (), set()), key=lambda one: [_rank(key) for key in one.keys])


def _found(content: object, keys: tuple[str, ...], seen: set[int]) -> Iterator[StateDict]:
    """Yield state dicts; ``seen`` are what was looked into, as tables may hold each other."""
    if isinstance(content, StandIn) and (weights := _weights_of(content, "", seen)):
        yield StateDict(keys, weights, whole=True)
    if not isinstance(content, Mapping) or len(keys) > _DEPTH or id(content) in seen:
        return
    seen.add(id(content))
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    weights = {key: value for key, value in named.items() if _is_weight(key, value)}
    if any(isinstance(value, Tensor) for value in weights.values()):
        yield StateDict(keys, weights)
    for key, value in named.items():
        yield from _found(value, (*keys, key), seen)


def _weights_of(module: StandIn, prefix: str, seen: set[int]) -> dict[str, object]:
    """Return the state dict of an ``nn.Module`` that a stand-in took the place of; else nothing."""
    if id(module) in seen or prefix.count(".") > _DEEPEST:
        return {}
    seen.add(id(module))
    unsaved = _table(module, "_non_persistent_buffers_set")
    own = {**_table(module, "_parameters"), **_table(module, "_buffers")}
    found: dict[str, object] = {
        f"{prefix}{name}": value
        for name, value in own.items()
        if isinstance(value, Tensor) and name not in unsaved
    }
    for name, child in _table(module, "_modules").items():
        if isinstance(child, StandIn):
            found |= _weights_of(child, f"{prefix}{name}.", seen)
    return found


def _table(module: StandIn, attribute: str) -> dict[str, object]:
    """Return a table of a module by name; a set becomes one of its members."""
    found = module.attributes.get(attribute)
    if isinstance(found, Mapping):
        return dict(found)
    return dict.fromkeys(found) if isinstance(found, set) else {}


def _is_weight(key: str, value: object) -> bool:
    extra = key.rpartition(".")[2] == EXTRA_STATE and not isinstance(value, StandIn)
    return isinstance(value, Tensor) or extra


def _rank(key: str) -> int:
    return WRAPPERS.index(key) if key in WRAPPERS else len(WRAPPERS)
