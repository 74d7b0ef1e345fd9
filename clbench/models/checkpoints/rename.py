"""What wrappers of a network do to the names of its weights, undone where that makes them fit."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

Weights = Mapping[str, object]

PREFIXES = (
    *("module.", "model.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."),
    *("network.", "net.", "backbone.", "encoder.", "classifier.", "student.", "ema."),
)
"""What DataParallel, torch.compile, Lightning and others put before all names.

Not the numbers of a Sequential: what else stands in it, such as a normalisation, would be lost.
"""

_INSIDE = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|module)\."
)
"""What wrappers of single layers put inside of names."""

_COUNTERS = ("n_averaged", "total_ops", "total_params")
"""Numbers that averaging (torch.optim.swa_utils) and profilers (thop) keep beside the weights."""

_OLD_WEIGHT_NORM = {"parametrizations.weight.original0": "weight_g"} | {
    "parametrizations.weight.original1": "weight_v"
}


class Renamed(NamedTuple):
    """Weights with other names, and what was done, "" where nothing was."""

    weights: Weights
    did: str


def renamings(weights: Weights, expected: Iterable[str]) -> Iterator[Renamed]:
    """Yield weights as they are, then with names that the network may have meant, likeliest first.

    Every one holds all tensors, but for counters. Whether one fits is for torch to say.

    Args:
        weights: Tensors by name.
        expected: The names of the network's own state.
    """
    wanted = list(expected)
    yield Renamed(weights, "")
    kept = {key: v for key, v in weights.items() if key.rpartition(".")[2] not in _COUNTERS}
    left_out = sorted({key.rpartition(".")[2] for key in weights.keys() - kept.keys()})
    without = f"without {', '.join(left_out)}" if left_out else ""
    if without:
        yield Renamed(kept, without)
    for renamed in (*_without_prefixes(kept), *_with_prefixes(kept, wanted), *_others(kept)):
        yield Renamed(renamed.weights, ", ".join(filter(None, (without, renamed.did))))


def bare(weights: Weights) -> Weights:
    """Return weights without counters, and without all known prefixes that their names share."""
    kept = {key: v for key, v in weights.items() if key.rpartition(".")[2] not in _COUNTERS}
    *_, last = (Renamed(kept, ""), *_without_prefixes(kept))
    return last.weights


def beside(weights: Weights, expected: Iterable[str]) -> tuple[str, str] | None:
    """Return the prefix under which a whole network is, and a name that has it not; else None."""
    wanted = set(expected)
    for prefix in PREFIXES:
        others = [key for key in weights if not key.startswith(prefix)]
        if others and wanted and all(prefix + key in weights for key in wanted):
            return prefix, others[0]
    return None


def _without_prefixes(weights: Weights) -> Iterator[Renamed]:
    """Yield weights without the known prefix that all names have, then without the next one."""
    taken = ""
    while weights:
        prefix = next((one for one in PREFIXES if all(key.startswith(one) for key in weights)), "")
        if not prefix:
            return
        taken += prefix
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
        yield Renamed(weights, f"without the prefix '{taken}'")


def _with_prefixes(weights: Weights, expected: list[str]) -> Iterator[Renamed]:
    """Yield weights with the parts that all names of the network begin with, one after another."""
    parts = zip(*(name.split(".")[:-1] for name in expected), strict=False)
    shared = [one[0] for one in takewhile(lambda one: len(set(one)) == 1, parts)]
    for n in range(1, len(shared) + 1):
        prefix = ".".join([*shared[len(shared) - n :], ""])
        yield Renamed(
            {prefix + key: value for key, value in weights.items()},
            f"with the prefix '{prefix}'",
        )


def _others(weights: Weights) -> Iterator[Renamed]:
    bare = {_INSIDE.sub("", key): value for key, value in weights.items()}
    if len(bare) == len(weights) and bare.keys() != weights.keys():
        yield Renamed(bare, "without the names of wrappers")
    old = {_with_old_weight_norm(key): value for key, value in weights.items()}
    if old.keys() != weights.keys():
        yield Renamed(old, "with weight_norm in its old spelling")


def _with_old_weight_norm(key: str) -> str:
    for new, old in _OLD_WEIGHT_NORM.items():
        if key.endswith(f".{new}") or key == new:
            return key.removesuffix(new) + old
    return key
