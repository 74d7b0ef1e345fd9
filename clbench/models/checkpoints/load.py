"""From a weights file to a filled network: which of its tables, under which names."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from clbench.models.checkpoints.fill import DoesNotFitError, fill
from clbench.models.checkpoints.read import TORCH, Checkpoint, read_checkpoint
from clbench.models.checkpoints.rename import bare, beside, renamings
from clbench.models.checkpoints.unwrap import StateDict, state_dicts
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import WeightsError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilledWith:
    """What a network was filled with.

    ``weights_sha256`` is of the network's state, ``file_sha256`` of the file, and ``known_by_file``
    says whether that tells the weights too: they are a safetensors file, taken as it is, and not
    one of several networks in it. ``about`` is what the file tells of its weights, ``did`` what was
    done to make them fit, "" where nothing was.
    """

    weights_sha256: str
    file_sha256: str
    known_by_file: bool
    about: Mapping[str, str]
    did: str


def load_checkpoint(network: nn.Module, path: Path) -> FilledWith:
    """Fill ``network`` from a weights file of any kind, strictly; say in the log what that took.

    Raises:
        WeightsError: The file cannot be read, or holds no weights of this network, which is then
            as it was.
    """
    found = read_checkpoint(path)
    did = _fill_from(network, found)
    if did:
        log.warning("weights %s: %s", path, did)
    return FilledWith(
        weights_sha256=state_sha256(network),
        file_sha256=found.sha256,
        known_by_file=not did and found.kind != TORCH,
        about=found.about,
        did=did,
    )


def the_weights(found: Checkpoint) -> Mapping[str, object]:
    """Return the weights of a file, those with the most usual name where it holds several.

    Raises:
        WeightsError: It holds none.
    """
    return _candidates(found)[0].weights


def _fill_from(network: nn.Module, found: Checkpoint) -> str:
    """Fill the network from the first state dict that fits, and say what was done."""
    candidates = _candidates(found)
    faults: list[DoesNotFitError] = []
    for number, one in enumerate(candidates):
        did = _fill_renamed(network, one, found.path, faults)
        if did is None:
            continue
        where = f"taken from {one.where}" if one.where else ""
        others = ", ".join(other.where for other in _rivals(one, candidates[number + 1 :]))
        also = f"{others} holds other values under the same names" if others else ""
        return "; ".join(filter(None, (", ".join(filter(None, (where, did))), also)))
    expected = _tensor_names(network)
    for one in candidates:
        if found_beside := beside(one.weights, expected):
            prefix, other = found_beside
            raise WeightsError(
                f"weights {found.path} hold all of the network under {prefix!r}, but also "
                f"{other!r}, which may change what it answers; build the network with that, or "
                f"save only what is under {prefix!r}"
            )
    raise min(faults, key=lambda fault: fault.distance)


def _fill_renamed(
    network: nn.Module, one: StateDict, path: Path, faults: list[DoesNotFitError]
) -> str | None:
    """Fill the network under the first names that fit, and return what was done; None if none."""
    for renamed in renamings(one.weights, _tensor_names(network)):
        try:
            fill(network, renamed.weights, path)
        except DoesNotFitError as fault:
            faults.append(fault)
        else:
            return renamed.did
    return None


def _tensor_names(network: nn.Module) -> list[str]:
    return [key for key, value in network.state_dict().items() if isinstance(value, Tensor)]


def _candidates(found: Checkpoint) -> Sequence[StateDict]:
    candidates = state_dicts(found.content)
    if not candidates and (found.kind != TORCH or found.content == {}):
        return [StateDict((), {})]  # a network without parameters has such weights
    if not candidates:
        held = f"an object of type {type(found.content).__name__}"
        if isinstance(found.content, Mapping):
            held = f"the keys {', '.join(map(repr, found.content))[:100]}"
        raise WeightsError(
            f"weights {found.path} hold no tensors by name, but {held}; "
            "save them by torch.save(network.state_dict(), 'weights.pt')"
        )
    return candidates


def _rivals(taken: StateDict, others: Sequence[StateDict]) -> Iterator[StateDict]:
    """Yield state dicts of the same names, but for prefixes, as the one taken, but other values."""
    own = bare(taken.weights)
    for other in others:
        rival = bare(other.weights)
        if rival.keys() == own.keys() and not _equal(own, rival):
            yield other


def _equal(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return all(
        torch.equal(value, rival)
        for key, value in one.items()
        if isinstance(value, Tensor) and isinstance(rival := other[key], Tensor)
    )
