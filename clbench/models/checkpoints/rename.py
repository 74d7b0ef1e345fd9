"""What wrappers of a network do to the names of its weights, undone where that makes them fit."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple, TypeVar

T = TypeVar("T")

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

_OF_TRAINING = frozenset(
    ("loss", "losses", "criterion", "metric", "metrics", "acc", "accuracy", "auroc", "auc", "f1")
)
"""Words in the names of modules that a training has beside the network, with states of them."""

_NAMED = 5
"""Left-out tensors that are named at most."""

_OLD_WEIGHT_NORM = {"parametrizations.weight.original0": "weight_g"} | {
    "parametrizations.weight.original1": "weight_v"
}


class Renamed(NamedTuple):
    """Weights with other names, and what was done, "" where nothing was."""

    weights: Weights
    did: str


def renamings(weights: Weights, expected: Iterable[str]) -> Iterator[Renamed]:
    """Yield weights as they are, then with names that the network may have meant, likeliest first.

    Every one holds all tensors, but for counters, and for losses and metrics that the network has
    not: these change no output. Whether one fits is for torch to say.

    Args:
        weights: Tensors by name.
        expected: The names of the network's own state.
    """
    wanted = list(expected)
    kept = _kept(weights, wanted)
    if kept.did:
        yield Renamed(weights, "")
    for start in (Renamed(kept.weights, ""), *_others(kept.weights)):
        yield Renamed(start.weights, _said(kept, start))
        for renamed in _without_prefixes(start.weights):
            yield Renamed(renamed.weights, _said(kept, start, renamed))
        for renamed in _with_prefixes(start.weights, wanted):
            yield Renamed(renamed.weights, _said(kept, start, renamed))


def _said(*steps: Renamed) -> str:
    return ", ".join(step.did for step in steps if step.did)


def bare(weights: Weights) -> Weights:
    """Return weights of a network alone, without all known prefixes that their names share."""
    kept = _kept(weights, ())
    *_, last = (kept, *_without_prefixes(kept.weights))
    return last.weights


def _kept(weights: Weights, expected: Iterable[str]) -> Renamed:
    """Return weights without counters, and without losses and metrics that the network has not."""
    own = {name.partition(".")[0] for name in expected}
    counters = {key for key in weights if key.rpartition(".")[2] in _COUNTERS}
    training = [
        key
        for key in weights.keys() - counters
        if key.partition(".")[0] not in own
        and _OF_TRAINING.intersection(key.partition(".")[0].lower().split("_"))
    ]
    named = sorted({key.rpartition(".")[2] for key in counters}) + sorted(training)
    more = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
    left_out = counters.union(training)
    return Renamed(
        {key: value for key, value in weights.items() if key not in left_out},
        f"without {', '.join(named[:_NAMED] + more)}" if named else "",
    )


def without_wrappers(weights: Mapping[str, T]) -> tuple[dict[str, T], bool]:
    """Return weights without what torch's wrappers put into their names, and whether they did.

    Counters of wrappers go too.
    """
    kept = {k: v for k, v in weights.items() if k.rpartition(".")[2] not in _COUNTERS}
    bare = {_INSIDE.sub("", key): value for key, value in kept.items()}
    if len(bare) < len(kept):  # two networks, of which only one is wrapped
        return kept, False
    return bare, bare.keys() != kept.keys()


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
