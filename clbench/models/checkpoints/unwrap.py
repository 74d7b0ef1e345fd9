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


class StateDict(NamedTuple):
    """Tensors by name, and by which keys of the checkpoint they are found."""

    keys: tuple[str, ...]
    weights: Mapping[str, object]

    @property
    def where(self) -> str:
        """The keys, as a user reads them; "" for a file that is nothing else."""
        return ".".join(self.keys)


def state_dicts(content: object) -> list[StateDict]:
    """Return every state dict in a checkpoint, those with usual names first.

    Optimizers keep no tensors by name, only by number, so that they are none.
    """
    return sorted(_found(content, ()), key=lambda one: [_rank(key) for key in one.keys])


def whole_networks(content: object) -> list[tuple[str, StandIn]]:
    """Return the objects in a checkpoint that may be networks with their code, by usual names."""
    items = content.items() if isinstance(content, Mapping) else ()
    found = [(key, value) for key, value in items if isinstance(value, StandIn)]
    return sorted(found, key=lambda item: _rank(str(item[0])))


def _found(content: object, keys: tuple[str, ...]) -> Iterator[StateDict]:
    if not isinstance(content, Mapping) or len(keys) > _DEPTH:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    weights = {key: value for key, value in named.items() if _is_weight(key, value)}
    if any(isinstance(value, Tensor) for value in weights.values()):
        yield StateDict(keys, weights)
    for key, value in named.items():
        yield from _found(value, (*keys, key))


def _is_weight(key: str, value: object) -> bool:
    extra = key.rpartition(".")[2] == EXTRA_STATE and not isinstance(value, StandIn)
    return isinstance(value, Tensor) or extra


def _rank(key: str) -> int:
    return WRAPPERS.index(key) if key in WRAPPERS else len(WRAPPERS)
