"""From a checkpoint to weights with their network's architecture, or why not."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import timm
import torchvision
from torch import Tensor, nn

from clbench.models.backbones.architecture import CLASSES, Architecture, named, named_for
from clbench.models.backbones.infer import infer
from clbench.models.backbones.resnet import BACKBONES
from clbench.models.checkpoints.dialect import NO_NORMALISATION, Dialect, Normalisation
from clbench.models.checkpoints.fill import DoesNotFitError, fill
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.checkpoints.read import Checkpoint
from clbench.models.checkpoints.recognise import Recognised, recognise, trained_on
from clbench.models.checkpoints.rename import bare
from clbench.models.checkpoints.translate import Branch, translate
from clbench.models.checkpoints.unwrap import state_dicts
from clbench.models.importing.readings import Told
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError
from clbench.schema.names import closest

NO_DIALECT = "torch"
"""What a checkpoint is in that has the names of the network that was asked for."""

_STEM = "conv1.weight"

_ORDINARY_WIDTH = 64
"""Channels after the stem of a ResNet that anybody may have trained."""


class Source(NamedTuple):
    """What a checkpoint is: weights under their network's own names, and what is known of them."""

    architecture: Architecture
    weights: Mapping[str, Tensor]
    dialect: Dialect | None
    evidence: str
    inside: Normalisation | None
    branch: str
    left_out: tuple[str, ...]
    told: Told
    configured: Normalisation | None = None


def read_source(
    found: Checkpoint, *, arch: str | None, dialect: str | None, branch: Branch | None
) -> Source:
    """Return what a checkpoint is.

    Raises:
        UnknownNameError: No such architecture or dialect.
        WeightsError: See ``recognise`` and ``translate``; its architecture is not told and was not
            named; or it is of another one than that.
    """
    if arch is not None:
        _check_arch(arch)
    try:
        recognised = recognise(found, dialect)
    except WeightsError:
        if arch is None or dialect is not None:
            raise
        return _by_names(found, arch, branch)
    translated = translate(recognised, found.path, found.content, branch)
    architecture, configured = _architecture(found, recognised, translated.weights, arch)
    if architecture is None:
        names = ", ".join(map(repr, list(translated.weights)[:3]))
        raise WeightsError(
            f"checkpoint {found.path} ({recognised.dialect.name}) does not tell its architecture: "
            f"its names are {names} and {max(0, len(translated.weights) - 3)} more; "
            "name it with --arch"
        )
    also = f"; {', '.join(recognised.others)} left aside" if recognised.others else ""
    return Source(
        architecture=architecture,
        weights=translated.weights,
        dialect=recognised.dialect,
        evidence=recognised.evidence + also,
        inside=translated.inside,
        branch=translated.branch,
        left_out=translated.left_out,
        told=Told(
            recognised.dialect.name,
            trained_on(recognised, found.content),
            _stem(translated.weights),
            architecture.options.get(CLASSES, 0) or translated.n_classes,
        ),
        configured=configured,
    )


def _architecture(
    found: Checkpoint, recognised: Recognised, weights: Mapping[str, Tensor], arch: str | None
) -> tuple[Architecture | None, Normalisation | None]:
    """Return the network that was named or is told, and what a named one is configured for."""
    if arch is not None:
        named_one = _fitting(arch, weights, found.path)
        return named_one, _configured(named_one)
    if told := _told(recognised, found.content):
        try:
            own = _fitting(told, weights, found.path)
        except DoesNotFitError:
            pass  # it was changed after it was made under this name
        else:
            return own, _configured(own)
    return infer(weights, recognised.dialect.facts), None


def _told(recognised: Recognised, content: object) -> str:
    """Return the name of timm's that a checkpoint of timm's own training holds, else ""."""
    name = content.get("arch") if isinstance(content, Mapping) else None
    is_timms = recognised.dialect.name == "timm" and isinstance(name, str) and timm.is_model(name)
    return str(name) if is_timms else ""


def _check_arch(arch: str) -> None:
    if named(arch, 0, 3):
        return
    known = [*timm.list_models(), *torchvision.models.list_models()]
    near = closest(arch.rpartition(":")[2], known)
    hint = f"did you mean {near!r}?" if near else "name one of timm, torchvision or clbench"
    raise UnknownNameError(f"unknown architecture {arch!r}; {hint}")


def _fitting(arch: str, weights: Mapping[str, Tensor], path: Path) -> Architecture:
    """Return the network of a name that weights are of.

    Raises:
        WeightsError: They are of none.
    """
    faults = []
    for architecture in named_for(arch, weights):
        try:
            fill(architecture.build(), weights, path)
        except DoesNotFitError as fault:
            faults.append(fault)
        else:
            return architecture
    raise min(faults, key=lambda fault: fault.distance)


def _by_names(found: Checkpoint, arch: str, branch: Branch | None) -> Source:
    """Return a checkpoint whose names are those of a named network, but for torch's wrappers."""
    if branch:
        raise BadValueError(
            f"checkpoint {found.path} is in no dialect with several batch norms, got --bn "
            f"{branch}; leave --bn out"
        )
    weights = state_dicts(found.content)[0].weights
    tensors = {key: v for key, v in bare(weights).items() if isinstance(v, Tensor)}
    faults = []
    for architecture in named_for(arch, tensors):
        network = architecture.build()
        try:
            did = load_checkpoint(network, found.path).did
        except DoesNotFitError as fault:
            faults.append(fault)
            continue
        return Source(
            architecture=architecture,
            weights=_state(network),
            dialect=None,
            evidence=f"its names are those of {architecture.called}{f' ({did})' if did else ''}",
            inside=None,
            branch="",
            left_out=(),
            told=Told("", "", _stem(tensors), architecture.options.get(CLASSES, 0)),
            configured=_configured(architecture),
        )
    raise min(faults, key=lambda fault: fault.distance)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}


def _stem(weights: Mapping[str, Tensor]) -> int:
    """Return the side of the first convolution, 0 where there is none of that name."""
    return weights[_STEM].shape[-1] if _STEM in weights else 0


def _configured(architecture: Architecture) -> Normalisation | None:
    """Return what the package of a named network normalises by."""
    if architecture.name in BACKBONES and architecture.options["width"] < _ORDINARY_WIDTH:
        return NO_NORMALISATION  # narrow ones are clbench's alone
    if architecture.family == "timm":
        cfg = timm.get_pretrained_cfg(architecture.name)
        return Normalisation(tuple(cfg.mean), tuple(cfg.std)) if cfg else None
    if architecture.family == "torchvision":
        weights = torchvision.models.get_model_weights(architecture.name)
        transforms = weights.DEFAULT.transforms()
        return Normalisation(tuple(transforms.mean), tuple(transforms.std))
    return None
