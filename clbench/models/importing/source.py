"""From a checkpoint to weights with their network's architecture, or why not."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import timm
import torchvision
from torch import Tensor, nn

from clbench.models.backbones.architecture import CLASSES, Architecture, named
from clbench.models.backbones.infer import infer
from clbench.models.checkpoints.dialect import Dialect, Normalisation
from clbench.models.checkpoints.fill import DoesNotFitError, fill
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.checkpoints.read import Checkpoint
from clbench.models.checkpoints.recognise import Recognised, recognise, trained_on
from clbench.models.checkpoints.translate import Branch, translate
from clbench.models.checkpoints.unwrap import state_dicts
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError
from clbench.schema.names import closest

NO_DIALECT = "torch"
"""What a checkpoint is in that has the names of the network that was asked for."""

_CLASSIFIERS = ("fc.weight", "head.weight", "classifier.weight")
_STEM = "conv1.weight"


class Source(NamedTuple):
    """What a checkpoint is: weights under their network's own names, and what is known of them.

    ``tells`` is what the file tells of its data: a data set or "", and a number of classes or 0.
    """

    architecture: Architecture
    weights: Mapping[str, Tensor]
    dialect: Dialect | None
    evidence: str
    inside: Normalisation | None
    branch: str
    left_out: tuple[str, ...]
    tells: tuple[str, int]
    configured: Normalisation | None = None

    @property
    def stem(self) -> int:
        """The side of the first convolution, 0 where there is none of that name."""
        return self.weights[_STEM].shape[-1] if _STEM in self.weights else 0


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
    told = arch or _told(recognised, found.content)
    architecture = (
        _fitting(told, translated.weights, found.path)
        if told
        else infer(translated.weights, recognised.dialect.facts)
    )
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
        tells=(
            trained_on(recognised, found.content),
            architecture.options.get(CLASSES, 0) or translated.n_classes,
        ),
        configured=_configured(architecture) if told else None,
    )


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
    n_classes = next((len(weights[key]) for key in _CLASSIFIERS if key in weights), 0)
    faults = []
    for architecture in named(arch, n_classes, _channels(weights)):
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
            f"checkpoint {found.path} is in no dialect with several batch norms, got --bn {branch}; "
            "leave --bn out"
        )
    weights = state_dicts(found.content)[0].weights
    tensors = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    sizes = [len(value) for key, value in tensors.items() if key.endswith(_CLASSIFIERS)]
    faults = []
    for architecture in named(arch, sizes[-1] if sizes else 0, _channels(tensors)):
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
            tells=("", architecture.options.get(CLASSES, 0)),
            configured=_configured(architecture),
        )
    raise min(faults, key=lambda fault: fault.distance)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}


def _channels(weights: Mapping[str, Tensor]) -> int:
    """Return how many channels the first convolution takes, 3 where there is none."""
    return next((one.shape[1] for one in weights.values() if one.ndim == 4), 3)  # noqa: PLR2004


def _configured(architecture: Architecture) -> Normalisation | None:
    """Return what the package of a named network normalises by."""
    if architecture.family == "timm":
        cfg = timm.get_pretrained_cfg(architecture.name)
        return Normalisation(tuple(cfg.mean), tuple(cfg.std)) if cfg else None
    if architecture.family == "torchvision":
        of = torchvision.models.get_model_weights(architecture.name)
        transforms = of.DEFAULT.transforms()  # type: ignore[attr-defined] # each has a default
        return Normalisation(tuple(transforms.mean), tuple(transforms.std))
    return None
