"""One name, one network: what ``--model`` reads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import timm
from torch import nn

from clbench.data.datasets import DATASETS
from clbench.models.backbones.resnet import build_backbone
from clbench.models.normalization import normalise_inside
from clbench.models.sources.python import build_from_code, build_registered, registered_models
from clbench.models.weights import availability, load_weights, read_about
from clbench.models.zoo import find_spec, zoo_names
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import (
    BadValueError,
    ClbenchError,
    ModelError,
    UnknownNameError,
    WeightsError,
    describe,
)
from clbench.schema.names import NormName, closest, look_up, unknown
from clbench.schema.provenance import version_of

ROBUSTBENCH_DIR = Path("models")
"""Where RobustBench keeps its weights by default, below the working folder."""


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, ready for images in [0, 1], and what is known about it.

    ``scheme``, ``scenario`` and ``tag`` are "" outside the zoo. ``weights_sha256`` is of the
    weights file, or of the network's state where there is none. ``flags`` are those of
    ``validate_network``.
    """

    network: nn.Module
    name: str
    scheme: str = ""
    scenario: str = ""
    backbone: str = ""
    tag: str = ""
    weights_sha256: str = ""
    source: str = ""
    flags: tuple[str, ...] = ()


class _Wanted(NamedTuple):
    """What a network is to be run on, and the weights file a user gave for it."""

    dataset: str | None
    shape: tuple[int, int, int]
    n_classes: int
    norm: NormName
    weights: Path | None


def load_model(
    name: str,
    *,
    dataset: str | None = None,
    n_classes: int | None = None,
    shape: tuple[int, int, int] | None = None,
    norm: NormName = "Linf",
    weights: Path | None = None,
) -> LoadedModel:
    """Return the model that ``name`` says, in eval mode on the CPU.

    Args:
        name: A zoo name ``scheme_scenario[.tag]``; ``timm:NAME``; ``robustbench:NAME``;
            ``FILE.py:FACTORY`` or ``pkg.mod:FACTORY``, a callable without arguments that returns a
            network; or a name that a package registered under ``clbench.models``.
        dataset: What it will be run on; the default of a zoo name's tag. None for a user's images.
        n_classes: Number of classes; the data set's own where it is left out.
        shape: Channels, height and width of an image; likewise.
        norm: Which of RobustBench's tables to look in.
        weights: A safetensors file to fill the network with, instead of its own weights. A timm
            network then sees the images as they are; with timm's pretrained weights, it normalises
            them as these want.

    Raises:
        UnknownNameError: Nothing has this name.
        BadValueError: A zoo name's tag is of another data set.
        ModelError: A user's code cannot be imported or builds no network.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    wanted = _what_is_wanted(dataset, n_classes, shape, norm, weights)
    prefix, colon, rest = name.partition(":")
    door = _DOORS.get(prefix, _from_code) if colon else _from_name
    loaded = door(rest if prefix in _DOORS else name, wanted)
    loaded.network.eval()
    return loaded


def _what_is_wanted(
    dataset: str | None,
    n_classes: int | None,
    shape: tuple[int, int, int] | None,
    norm: NormName,
    weights: Path | None,
) -> _Wanted:
    if dataset is None:
        if n_classes is None or shape is None:
            raise BadValueError(
                "a model needs to know its data: give a dataset, or n_classes and shape"
            )
        alike = (i.name for i in DATASETS.values() if (i.shape, i.n_classes) == (shape, n_classes))
        return _Wanted(next(alike, None), shape, n_classes, norm, weights)
    if n_classes is None or shape is None:
        info = look_up(DATASETS, dataset, "dataset")
        shape, n_classes = shape or info.shape, n_classes or info.n_classes
    return _Wanted(dataset, shape, n_classes, norm, weights)


def _from_name(name: str, wanted: _Wanted) -> LoadedModel:
    registered = registered_models()
    if name in zoo_names():
        return _from_zoo(name, wanted)
    if name in registered:
        built = build_registered(name, registered[name])
        return _loaded(built.network, name, wanted, source=built.source)
    if name.endswith(".py"):
        return _from_code(name, wanted)
    raise unknown(name, [*zoo_names(), *registered], "model")


def _from_zoo(name: str, wanted: _Wanted) -> LoadedModel:
    spec = find_spec(name, wanted.dataset)
    backbone = spec.backbone
    if wanted.weights:
        # a recipe may have trained another backbone than the row's, and its weights tell which
        backbone = read_about(wanted.weights).get("backbone", backbone)
        network = build_backbone(backbone, spec.info.shape[0], spec.info.n_classes)
        sha256, source = load_weights(network, wanted.weights), wanted.weights.name
    else:
        network = timm.create_model(spec.full_name, pretrained=True)
        assert spec.weights, "timm's door refuses a row without weights"
        sha256, source = spec.weights.sha256, availability(spec)
    return LoadedModel(
        network=network,
        name=spec.name,
        scheme=spec.scheme,
        scenario=spec.scenario,
        backbone=backbone,
        tag=spec.dataset,
        weights_sha256=sha256,
        source=source,
    )


def _from_timm(name: str, wanted: _Wanted) -> LoadedModel:
    cfg = _timm_cfg(name)
    pretrained = wanted.weights is None
    trained = getattr(cfg, "num_classes", wanted.n_classes)
    if pretrained and trained != wanted.n_classes:
        raise WeightsError(
            f"timm model '{name}' was trained on {trained} classes, the data has "
            f"{wanted.n_classes}; give other weights with --weights"
        )
    channels, *size = wanted.shape
    options = {"img_size": tuple(size)} if getattr(cfg, "fixed_input_size", False) else {}
    try:
        network = timm.create_model(
            name, pretrained, num_classes=wanted.n_classes, in_chans=channels, **options
        )
    except ClbenchError:
        raise
    except Exception as error:
        where = "with its pretrained weights" if pretrained else f"for images {list(wanted.shape)}"
        hint = "give a file with --weights" if pretrained else "choose another network"
        raise ModelError(
            f"timm model '{name}' cannot be built {where}: {describe(error)}; {hint}"
        ) from error
    if pretrained:
        normalise_inside(network, network.pretrained_cfg, channels)
    source = f"timm {timm.__version__}"
    return _loaded(network, f"timm:{name}", wanted, source=source, backbone=name.partition(".")[0])


def _timm_cfg(name: str) -> object:
    known = timm.list_models(include_tags=True)
    if name in known or name in timm.list_models():
        return timm.get_pretrained_cfg(name)
    near = closest(name, [*timm.list_models(), *known])
    hint = f"did you mean '{near}'?" if near else "timm.list_models() lists them"
    raise UnknownNameError(f"unknown timm model {name!r}; {hint}")


def _from_robustbench(name: str, wanted: _Wanted) -> LoadedModel:
    if wanted.dataset is None:
        raise BadValueError(
            f"model 'robustbench:{name}' needs a data set, got images {list(wanted.shape)}; "
            "name its data set by a --protocol"
        )
    if wanted.weights:
        raise BadValueError(
            f"model 'robustbench:{name}' brings its own weights; "
            f"leave out --weights {wanted.weights}"
        )
    from clbench.interop import robustbench  # noqa: PLC0415 - takes seconds, may not be sound

    network = robustbench.load_model(name, wanted.dataset, wanted.norm, ROBUSTBENCH_DIR)
    source = f"robustbench {version_of('robustbench')}"
    return _loaded(network, f"robustbench:{name}", wanted, source=source)


def _from_code(name: str, wanted: _Wanted) -> LoadedModel:
    built = build_from_code(name)
    return _loaded(built.network, name, wanted, source=built.source)


def _loaded(
    network: nn.Module, name: str, wanted: _Wanted, *, source: str, backbone: str = ""
) -> LoadedModel:
    backbone = backbone or type(network).__name__
    if wanted.weights:
        sha256 = load_weights(network, wanted.weights)
        source = f"{source}, {wanted.weights.name}"
    else:
        sha256 = state_sha256(network)
    return LoadedModel(network, name, backbone=backbone, weights_sha256=sha256, source=source)


_DOORS: dict[str, Callable[[str, _Wanted], LoadedModel]] = {
    "timm": _from_timm,
    "robustbench": _from_robustbench,
}
