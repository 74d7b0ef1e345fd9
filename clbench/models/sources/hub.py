"""Networks as a hub has them: ``hf-hub:USER/NAME``, ``local-dir:DIR``, and folders of such."""

import logging
from dataclasses import replace
from pathlib import Path

import timm
from torch import nn

from clbench.interop.huggingface import fetch
from clbench.models.families import check_owner_of_family
from clbench.models.image_processor import read_beside
from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.models.normalization import NONE, normalise_inside, resize_inside
from clbench.models.preprocessing import PROCESSOR
from clbench.models.register import check_owner
from clbench.models.sources.hub_config import CONFIG, HubConfig, read_config
from clbench.schema.errors import (
    BadValueError,
    ClbenchError,
    ModelError,
    UnknownNameError,
    WeightsError,
    describe,
)

log = logging.getLogger(__name__)

HUB, LOCAL = "hf-hub", "local-dir"
PREFIXES = (HUB, "hf_hub", LOCAL)
"""What stands before the colon of such a name; timm wrote the first one in two ways."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The files that have weights, the first that is there."""


def without_timm(what: str) -> str:
    """Return a name without timm's own prefix, where it is one of a hub.

    >>> without_timm("timm:hf-hub:someone/net"), without_timm("timm:resnet18")
    ('hf-hub:someone/net', 'timm:resnet18')
    """
    rest = what.removeprefix("timm:")
    return rest if rest.partition(":")[0] in PREFIXES else what


def holds_model(folder: Path) -> bool:
    """Say whether a folder has the files of a hub's network."""
    return (folder / CONFIG).is_file() and _weights_in(folder) is not None


def check_local(name: str) -> None:
    """Check that the folder of a ``local-dir:`` name is there.

    Raises:
        UnknownNameError: It is not, or holds no network.
    """
    folder = Path(name)
    if not holds_model(folder):
        raise UnknownNameError(
            f"model '{LOCAL}:{name}' must be a folder with {CONFIG} and {WEIGHTS[0]}, got "
            f"{'none of these in it' if folder.is_dir() else 'no folder'}; check the path"
        )


def load_local(name: str, wanted: Wanted) -> LoadedModel:
    """Return the network of a folder.

    Raises:
        ClbenchError: As for ``load_folder``; there is none.
    """
    check_local(name)
    return load_folder(Path(name), wanted)


def load_from_hub(name: str, wanted: Wanted) -> LoadedModel:
    """Return the network of a repository, from this machine's cache where no hub is in reach.

    Raises:
        ModelError: It is neither there nor here, or has no network of timm.
        ClbenchError: As for ``load_folder``.
    """
    repository, _, revision = name.partition("@")
    config = fetch(repository, [CONFIG], revision)
    weights = fetch(repository, WEIGHTS, revision) if config else None
    if config is None or weights is None:
        gone = CONFIG if config is None else " or ".join(WEIGHTS)
        raise ModelError(
            f"model '{HUB}:{name}' has no {gone}, so it is no network of timm; build it by "
            "FILE.py:FACTORY, and give its file with --weights"
        )
    return _load(f"{HUB}:{name}", config.parent, weights, wanted)


def load_folder(folder: Path, wanted: Wanted) -> LoadedModel:
    """Return the network of a folder with ``config.json`` and weights, as timm writes it.

    Nothing in it is run. It sees images as its configuration says, resized only where that has
    another size.

    Raises:
        BadValueError: Other weights were given beside.
        ModelError: Its configuration is wrong, or not for these images.
        UnknownNameError: timm has no such architecture.
        WeightsError: The weights are of other classes, damaged, or of another network.
    """
    weights = _weights_in(folder)
    assert weights is not None, "holds_model was asked before"
    return _load(f"{LOCAL}:{folder.resolve().name}", folder, weights, wanted)


def _weights_in(folder: Path) -> Path | None:
    return next((folder / one for one in WEIGHTS if (folder / one).is_file()), None)


def _load(called: str, folder: Path, weights: Path, wanted: Wanted) -> LoadedModel:
    if wanted.weights:
        raise BadValueError(
            f"model {called!r} has its weights, got {wanted.weights} too; leave one out"
        )
    config = read_config(folder, called)
    _check_fits(called, config, wanted)
    check_owner(config.architecture)
    check_owner_of_family(config.architecture)
    resized = config.resizes and config.input_size[1:] != wanted.shape[1:]
    given = wanted.preprocessing
    if given is not None:
        resized = bool(given.resize or given.crop)
    network = _build(called, config)
    steps = [] if given else _put_before(network, config, wanted, resized=resized)
    loaded = loaded_from_elsewhere(
        network,
        called,
        weights,
        source=f"timm {timm.__version__}",
        backbone=str(config.options.get("name") or config.architecture),
        preprocessing=None if given else ", ".join(steps) or NONE,
    )
    if steps:
        log.warning("%s sees images %s, by its %s", called, loaded.preprocessing, CONFIG)
    if not given:
        _tell_conflict(called, config, weights, wanted)
    if given:
        log.warning("%s sees images %s, instead of what its %s says", called, given, CONFIG)
    return replace(loaded, is_encoder=not config.n_classes, class_names=config.label_names)


def _check_fits(called: str, config: HubConfig, wanted: Wanted) -> None:
    """Check that a network is for images of these channels and classes.

    Raises:
        ModelError: It takes others.
        WeightsError: It has fewer classes, or not exactly those of the data set.
    """
    channels = config.input_size[0]
    if channels != wanted.shape[0]:
        raise ModelError(
            f"model {called!r} takes images of {channels} channels, got {wanted.shape[0]}; "
            "evaluate it on images of its own kind, with --data or --protocol"
        )
    n_classes = config.n_classes
    if n_classes in (0, wanted.n_classes) or (wanted.or_more and n_classes > wanted.n_classes):
        return
    raise WeightsError(
        f"model {called!r} was trained on {n_classes} classes, the data has {wanted.n_classes}; "
        "give images of its own classes"
    )


def _build(called: str, config: HubConfig) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(
            config.architecture,
            pretrained=False,
            pretrained_cfg=dict(config.cfg),
            **config.options | {"num_classes": config.n_classes, "in_chans": config.input_size[0]},
        )
    except ClbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"model {called!r} cannot be built as its {CONFIG} says: {describe(error)}; "
            "fetch it again, or try another timm"
        ) from error
    return network


def _tell_conflict(called: str, config: HubConfig, weights: Path, wanted: Wanted) -> None:
    """Say where another file of the folder normalises otherwise, which is not heeded."""
    try:
        found = read_beside(weights, wanted.shape)
    except ModelError:
        return  # of what cannot be read nothing can be said
    if found and (found.mean, found.std) != (config.cfg["mean"], config.cfg["std"]):
        log.warning("%s has a %s that says %s, unlike its %s", called, PROCESSOR, found, CONFIG)


def _put_before(
    network: nn.Module, config: HubConfig, wanted: Wanted, *, resized: bool
) -> list[str]:
    """Make what the configuration says a part of the network, and return it in words."""
    steps = [resize_inside(network, config.cfg)] if resized else []
    normalised = normalise_inside(network, config.cfg, wanted.shape[0])
    return steps + ([normalised] if normalised != NONE else [])
