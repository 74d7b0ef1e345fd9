"""A checkpoint of a dialect in the names of timm and clbench, every name accounted for."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from clbench.models.checkpoints.dialect import Dialect, Normalisation
from clbench.models.checkpoints.recognise import Recognised
from clbench.models.checkpoints.rename import without_wrappers
from clbench.schema.errors import WeightsError

Branch = Literal["clean", "adv"]
"""Which of several batch norms: that of clean images, or that of adversarial ones."""

DEFAULT_BRANCH: Branch = "adv"
"""The batch norms that robust accuracy is reported with in the field."""

_BRANCHES = (
    re.compile(r"(?P<before>.*)\.bn_list\.(?P<which>\d+)(?P<after>\..*)"),
    re.compile(r"(?P<before>.*bn\d?)\.bn\.(?P<which>\d+)(?P<after>\..*)"),
    re.compile(r"(?P<before>.*)\.bn_(?P<which>clean|adv)(?P<after>\..*)"),
    re.compile(r"(?P<before>.*bn\d?)_(?P<which>clean|adv)(?P<after>\..*)"),
)
"""How projects name batch norms of which there are several."""

_WHICH: dict[str, Branch] = {"0": "clean", "clean": "clean", "1": "adv", "adv": "adv"}
"""The branch of each name: the first is of clean images, everywhere."""

_SYNONYMS = (
    (re.compile(r"\.shortcut\.(?=\d)"), ".downsample."),
    (re.compile(r"\.downsample\.conv\."), ".downsample.0."),
    (re.compile(r"\.downsample\.bn\."), ".downsample.1."),
    (re.compile(r"\.bn_list\.(?!\d)"), "."),
    (re.compile(r"^(linear|classifier)\.(?=weight|bias)"), "fc."),
)
"""What ResNets call the same things."""

_RESNET = re.compile(r"(layer|block)1\.(layer\.)?0\.conv1\.weight")


class Translated(NamedTuple):
    """Weights under the names of timm and clbench, and what became of all others.

    Attributes:
        weights: By name.
        inside: The normalisation that the file holds, None where it holds none.
        branch: Which batch norms were taken, "" where there are not several.
        left_out: What was, in words: why, and how many.
        n_classes: Outputs of a classifier that was left out, 0 where there was none: it may tell
            the data set.
    """

    weights: dict[str, Tensor]
    inside: Normalisation | None
    branch: Branch | Literal[""]
    left_out: tuple[str, ...]
    n_classes: int


def translate(found: Recognised, path: Path, tables: object, branch: Branch | None) -> Translated:
    """Return a checkpoint's weights as the network's own names have them.

    Args:
        found: What was recognised.
        path: The file, for messages.
        tables: All that it holds, among which a classifier may be.
        branch: Which batch norms to take where there are several; ``DEFAULT_BRANCH`` where None.

    Raises:
        WeightsError: A name is left over that the dialect does not account for; two names become
            one; or the branch was asked for where there is one only.
    """
    row, weights = found.dialect, dict(found.weights)
    inside = _normalisation(row, weights, path)
    kept, reasons = _without_dropped(row, weights)
    dropped = {name: weights[name] for name in weights.keys() - kept.keys()}
    kept, taken = _one_branch(kept, path, branch)
    if taken:
        others = len(weights) - len(dropped) - len(kept)
        reasons[f"batch norms of other branches than '{taken}'"] = others
    named = _renamed(row, kept, path)
    named |= _classifier(row, tables, path)
    if any(map(_RESNET.match, named)):
        named = _with_synonyms(named, path)
    left_out = tuple(f"{count} tensors: {why}" for why, count in reasons.items())
    return Translated(named, inside, taken, left_out, _n_classes(dropped))


def _normalisation(row: Dialect, weights: dict[str, Tensor], path: Path) -> Normalisation | None:
    """Take the normalisation out of the weights, where the dialect has it there.

    Raises:
        WeightsError: It is no mean and deviation per channel.
    """
    if row.inside is None or not all(name in weights for name in row.inside):
        return None
    mean, std = (weights.pop(name).float().flatten() for name in row.inside)
    sound = mean.shape == std.shape and bool((mean.isfinite() & std.isfinite() & (std > 0)).all())
    if not sound or not len(mean):
        raise WeightsError(
            f"checkpoint {path}: {row.inside[0]!r} and {row.inside[1]!r} are no mean and deviation "
            f"per channel: {mean.tolist()[:4]} and {std.tolist()[:4]}; copy the file again"
        )
    return Normalisation(*(tuple(part.tolist()) for part in (mean, std)))


def _without_dropped(
    row: Dialect, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Counter[str]]:
    """Return what is not left out, and how many are for each reason."""
    reasons: Counter[str] = Counter()
    kept = {}
    for name, value in weights.items():
        why = next((one.why for one in row.drops if re.match(one.names, name)), "")
        if why:
            reasons[why] += 1
        else:
            kept[name] = value
    return kept, reasons


def _one_branch(
    weights: dict[str, Tensor], path: Path, asked: Branch | None
) -> tuple[dict[str, Tensor], Branch | Literal[""]]:
    """Return weights with one batch norm of each several, under the name of a single one."""
    found = {name: parts for name in weights if (parts := _branch_of(name))}
    if not found:
        if asked:
            raise WeightsError(
                f"checkpoint {path} has one batch norm in each place, got --bn {asked}; "
                "leave --bn out"
            )
        return weights, ""
    wanted = asked or DEFAULT_BRANCH
    single: dict[str, Tensor] = {}
    # an older spelling has the name of a single batch norm for the clean one
    twins = {parts[1] for parts in found.values()}
    for name, value in weights.items():
        which, bare = found.get(name, ("clean" if name in twins else wanted, name))
        if which == wanted:
            if bare in single:
                raise _clash(path, bare)
            single[bare] = value
    lacking = sorted(twins - single.keys())
    if lacking:
        raise WeightsError(
            f"checkpoint {path} has no batch norm of the branch {wanted!r} in {len(lacking)} "
            f"places, such as {lacking[0]!r}; try --bn {'clean' if wanted == 'adv' else 'adv'}"
        )
    return single, wanted


def _branch_of(name: str) -> tuple[str, str] | None:
    """Return the branch that a name is of, "" for a further one, and its name without it."""
    for pattern in _BRANCHES:
        if parts := pattern.fullmatch(name):
            return _WHICH.get(parts["which"], ""), parts["before"] + parts["after"]
    return None


def _renamed(row: Dialect, weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return weights without the dialect's prefix, its renames done.

    Raises:
        WeightsError: A name has not the prefix.
    """
    others = [name for name in weights if not re.match(row.prefix, name)]
    if others:
        more = f" and {len(others) - 1} more" if others[1:] else ""
        raise WeightsError(
            f"checkpoint {path} in the dialect {row.name!r} has {sorted(others)[0]!r}{more}, which "
            "are no part that clbench knows of, and may change what the network answers; save "
            "the network's own state dict"
        )
    named: dict[str, Tensor] = {}
    for name, value in weights.items():
        new = re.sub(row.prefix, "", name, count=1)
        for pattern, put in row.renames:
            new = re.sub(pattern, put, new)
        if new in named:
            raise _clash(path, new)
        named[new] = value
    return named


def _classifier(row: Dialect, tables: object, path: Path) -> dict[str, Tensor]:
    """Return the classifier that the file has in a table of its own."""
    if not row.classifier:
        return {}
    table = tables.get(row.classifier) if isinstance(tables, Mapping) else None
    own = {k: v for k, v in table.items() if isinstance(v, Tensor)} if table else {}
    bare, _ = without_wrappers(own)
    found = {f"fc.{name.rpartition('.')[2]}": value for name, value in bare.items()}
    if len(found) != len(bare) or "fc.weight" not in found:
        raise WeightsError(
            f"checkpoint {path}: its {row.classifier!r} is no single linear layer but has "
            f"{', '.join(map(repr, list(own)[:4])) or 'no tensors'}; save the classifier's own"
        )
    return found


def _with_synonyms(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, value in weights.items():
        new = name
        for pattern, put in _SYNONYMS:
            new = pattern.sub(put, new)
        if new in named and not torch.equal(named[new], value):
            raise _clash(path, new)
        named[new] = value
    return named


def _clash(path: Path, name: str) -> WeightsError:
    return WeightsError(
        f"checkpoint {path} has two different tensors that are both {name!r} of the network; "
        "save the state dict of one network alone"
    )


def _n_classes(dropped: Mapping[str, Tensor]) -> int:
    sizes = (len(v) for k, v in dropped.items() if re.fullmatch(r"classifier\.weight", k))
    return next(sizes, 0)
