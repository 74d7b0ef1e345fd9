"""One name, one network: what ``--model`` reads."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clbench.data.checks import check_labels
from clbench.data.datasets import DATASETS, TEST_SETS
from clbench.data.image_set import ImageSet
from clbench.models.argument import read_argument
from clbench.models.classes import check_class_names, no_classifier
from clbench.models.image_processor import read_carried
from clbench.models.interface import LoadedModel, Wanted
from clbench.models.names import check_name, graph_first, is_folder, known_name
from clbench.models.normalization import NONE
from clbench.models.output import read_output
from clbench.models.preprocessing import Preprocessing, read_preprocessing
from clbench.models.several_devices import placed
from clbench.models.sources import folder, hub, python, robustbench, scripted, timm, zoo
from clbench.models.validate import Validated, validate_network, with_ordinary_tensors
from clbench.models.zoo import zoo_names
from clbench.runtime.as_found import in_eval_mode
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError
from clbench.schema.flags import merged
from clbench.schema.names import NormName, look_up
from clbench.schema.records import LOG_PROBABILITIES
from clbench.schema.text import shown

log = logging.getLogger(__name__)

Model = str | Path | nn.Module
"""A name, as ``load_model`` reads it, or a network."""

_SOURCES: dict[str, Callable[[str, Wanted], LoadedModel]] = {
    "timm": timm.load,
    "robustbench": robustbench.load,
    "hf-hub": hub.load_from_hub,
    "hf_hub": hub.load_from_hub,
    "local-dir": hub.load_local,
}
"""By what stands before the colon of a name."""

PICTURES = "imagenet"
"""The data set of pictures of all sizes, which networks see prepared in several ways."""

IN_MEMORY = "in memory"
"""What ends the source of a network that was given as such."""

_FEWEST_CLASSES = 2

_VALIDATED_ON = 16
"""Images that show whether a network is a classifier for them."""


def load_model(
    name: Model,
    *,
    dataset: str | None = None,
    n_classes: int | None = None,
    shape: tuple[int, int, int] | None = None,
    norm: NormName = "Linf",
    weights: Path | None = None,
    preprocessing: Preprocessing | None = None,
    carried: bool = True,
) -> LoadedModel:
    """Return the model that ``name`` says, in eval mode on the CPU.

    Args:
        name: A zoo name ``scheme_scenario[.tag]``; ``timm:NAME``; ``robustbench:NAME``;
            ``FILE.py:FACTORY`` or ``pkg.mod:FACTORY``, a callable without arguments that returns a
            network; a folder that ``import_checkpoint``, ``train`` or ``fit_head`` made, or of a
            hub; ``hf-hub:USER/NAME`` or ``local-dir:DIR``; a file that ``torch.jit.save`` wrote; a
            name that a package registered under ``clbench.models``; ``NAME=`` before one of these,
            which it is called then; or a network, which is taken as it is.
        dataset: What it will be run on; the default of a zoo name's tag. None for a user's images.
        n_classes: Number of classes; the data set's own where it is left out.
        shape: Channels, height and width of an image; likewise.
        norm: Which of RobustBench's tables to look in.
        weights: A file to fill the network with, instead of its own weights: of safetensors, or
            of ``torch.save``, of which nothing is run. A timm network sees the images normalised
            as its configuration says, with either.
        preprocessing: What stands before the network, where nothing else tells: of timm's networks,
            instead of their configuration, and of a user's own code.
        carried: Whether a ``preprocessor_config.json`` beside the weights says it otherwise.

    Raises:
        UnknownNameError: Nothing has this name.
        BadValueError: A zoo name's tag is of another data set, a zoo name was given to another
            network, weights beside a network, or preprocessing where it is known.
        ModelError: A user's code cannot be imported or builds no network.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    if isinstance(name, nn.Module):
        return _seeing(_from_memory(name, weights), preprocessing, 0, known="what it does itself")
    if not isinstance(name, str | Path):
        raise BadValueError(f"model must be a name, a path or an nn.Module, got {shown(name)}")
    given = graph_first(read_argument(str(name)))
    if given.weights and weights:
        raise BadValueError(f"model {name!r} has its weights, got {weights} too; leave one out")
    wanted = _what_is_wanted(dataset, n_classes, shape, norm, weights or given.weights)
    beside = read_carried(wanted.weights, wanted.shape, preprocessing) if carried else None
    wanted = wanted._replace(preprocessing=preprocessing or beside)
    what = hub.without_timm(given.what)
    prefix = what.partition(":")[0]
    loaded = _from_source(what, wanted)
    in_eval_mode(loaded.network)
    check_name(given.name, loaded)
    known = "RobustBench's" if prefix == "robustbench" else loaded.preprocessing
    known = "images as they are" if known == NONE else known
    if beside and known:
        log.warning("what %s sees is known (%s), not %s", loaded.name, known, beside)
    elif beside:
        log.warning("%s sees images %s beside its weights", loaded.name, beside)
        preprocessing = beside
    loaded = _seeing(loaded, preprocessing, wanted.shape[0], known=known)
    return replace(loaded, name=given.name or loaded.name)


def _from_source(what: str, wanted: Wanted) -> LoadedModel:
    prefix, colon, rest = what.partition(":")
    if prefix in _SOURCES and colon:
        return _SOURCES[prefix](rest, wanted)
    if is_folder(what):
        return folder.load(Path(what), wanted)
    if scripted.holds_graph(Path(what)):
        return scripted.load(Path(what), wanted)
    return python.load(what, wanted) if colon else _from_name(what, wanted)


def _seeing(
    loaded: LoadedModel, given: Preprocessing | None, channels: int, *, known: str | None
) -> LoadedModel:
    """Return a model with what a user says before it, unless it is known what is.

    Raises:
        BadValueError: It is known.
    """
    if given is None:
        return loaded
    if known:
        raise BadValueError(
            f"what model {loaded.name!r} sees is known ({known}), got {given}; leave --mean, "
            "--std, --resize and --crop out"
        )
    return loaded.seeing(given, channels)


def preprocessing_of(model: Model, dataset: str | None, norm: NormName) -> str:
    """Return what RobustBench does to pictures before a network of its zoo sees them.

    By its name of it; "" where that is nothing, or the usual, or the network is another's.
    """
    if dataset != PICTURES or isinstance(model, nn.Module):
        return ""
    prefix, colon, rest = read_argument(str(model)).what.partition(":")
    is_theirs = prefix == "robustbench" and colon
    return robustbench.preprocessing(rest, dataset, norm) if is_theirs else ""


def of_threat_model(model: Model, threat_model: str) -> Model:
    """Return a name of RobustBench's zoo with this table, where it names none; others as they are.

    >>> of_threat_model("robustbench:AlexNet", "corruptions")
    'robustbench:corruptions/AlexNet'
    """
    if isinstance(model, nn.Module):
        return model
    what = read_argument(str(model)).what
    if not what.startswith("robustbench:") or "/" in what:
        return model
    return str(model).replace("robustbench:", f"robustbench:{threat_model}/", 1)


def read_seen(said: Mapping[str, Any]) -> Preprocessing | None:
    """Return what options say that stands before a network; None where they say nothing.

    Raises:
        BadValueError: It cannot be.
        UnknownNameError: There is no such interpolation.
    """
    return read_preprocessing(**said)


def load_for(
    model: Model,
    images: ImageSet,
    *,
    dataset: str | None,
    norm: NormName,
    device: torch.device,
    weights: Path | None = None,
    preprocessing: Preprocessing | None = None,
    carried: bool = True,
    output: str | int | None = None,
    classifier: bool = True,
) -> tuple[LoadedModel, ImageSet]:
    """Return the model on its device, checked on a few of the images, and these in its classes.

    Args:
        model: As for ``load_model``.
        images: What it is to be run on.
        dataset: The data set that they are of; None for a user's own images, whose labels need not
            show every class that the model knows.
        norm: Which of RobustBench's tables to look in.
        device: Where to run it.
        weights: As for ``load_model``.
        preprocessing: Likewise.
        carried: Likewise.
        output: Which entry of its answer is the logits, where that is no tensor; see ``entry``.
        classifier: Whether it must be one; encoders return features.

    Raises:
        ClbenchError: There is no such model, it cannot be built, or does not fit the images.
    """
    (_, c, h, w), path = images.images.shape, read_output(output)
    loaded = load_model(
        model,
        dataset=dataset,
        n_classes=images.n_classes,
        shape=(c, h, w),
        norm=norm,
        weights=weights,
        preprocessing=preprocessing,
        carried=carried,
    )
    if loaded.is_encoder and classifier:
        raise no_classifier(model, loaded, dataset)
    network = placed(with_ordinary_tensors(loaded.network), device, loaded.name)
    few = images.images[:_VALIDATED_ON].to(device)
    or_more = dataset is None or loaded.is_encoder
    least = _FEWEST_CLASSES if or_more else images.n_classes
    found = validate_network(network, few, least, or_more=or_more, output=path)
    loaded = _validated(loaded, found, chosen=not path)
    if loaded.is_encoder:
        return loaded, images
    outputs = f"the network has {found.n_classes} outputs"
    check_labels(images.name, images.labels, found.n_classes, outputs)
    check_class_names(loaded, images, found.n_classes)
    files = loaded.code.files() if loaded.code else loaded.files
    return replace(loaded, files=files), replace(images, n_classes=found.n_classes)


def _validated(loaded: LoadedModel, found: Validated, *, chosen: bool) -> LoadedModel:
    """Return a model with what was found out about its network; the source tells its output.

    ``chosen`` says that nobody named the output.
    """
    if found.output and chosen:
        log.warning("%s returns several things; taken is --output %s", loaded.name, found.output)
    if found.log_probabilities:
        log.info("%s returns log-probabilities, of which verdicts are as of logits", loaded.name)
    of = f"output {found.output!r} of " if found.output else ""
    return replace(
        loaded,
        network=found.network,
        flags=merged((*loaded.flags, *found.flags)),
        source=f"{of}{loaded.source}",
        output=found.output or None,
        answers=LOG_PROBABILITIES if found.log_probabilities else None,
    )


def tell_of_default_images(loaded: LoadedModel, images: ImageSet) -> None:
    """Say that a network from outside the zoo is run on images that nobody asked for."""
    if not loaded.tag:
        log.warning(
            "%s runs on %s, the images of the default protocol; others by --data or --protocol",
            *(loaded.name, images.name),
        )


def _from_memory(network: nn.Module, weights: Path | None) -> LoadedModel:
    if weights is not None:
        raise BadValueError(f"a network in memory has its weights, got {weights} too; leave it out")
    kind = type(network)
    return LoadedModel(
        network=network,
        name=kind.__name__,
        backbone=kind.__name__,
        weights_sha256=state_sha256(network),
        source=f"{kind.__module__}.{kind.__qualname__} {IN_MEMORY}",
    )


def _what_is_wanted(
    dataset: str | None,
    n_classes: int | None,
    shape: tuple[int, int, int] | None,
    norm: NormName,
    weights: Path | None,
) -> Wanted:
    if dataset is None:
        if n_classes is None or shape is None:
            raise BadValueError(
                "a model needs to know its data: give a dataset, or n_classes and shape"
            )
        alike = (i.name for i in DATASETS.values() if (i.shape, i.n_classes) == (shape, n_classes))
        return Wanted(next(alike, None), shape, n_classes, norm, weights, or_more=True)
    if n_classes is None or shape is None:
        info = look_up(TEST_SETS, dataset, "dataset")
        shape, n_classes = shape or info.shape, n_classes or info.n_classes
    return Wanted(dataset, shape, n_classes, norm, weights)


def _from_name(typed: str, wanted: Wanted) -> LoadedModel:
    name, registered = known_name(typed), python.registered_models()
    if name in zoo_names():
        return zoo.load(name, wanted)
    if name in registered:
        return python.load_from_package(name, registered[name], wanted)
    return python.load(name, wanted)
