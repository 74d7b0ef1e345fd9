"""An encoder for a new classifier: whatever ``--model`` reads, its own classifier taken off."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import timm
from jaxtyping import Float
from torch import Tensor, nn

from clbench.models.argument import ModelArgument, read_argument
from clbench.models.backbones.architecture import CLASSES, Architecture, named
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.classifier import Features, Headed, find_features
from clbench.models.interface import LoadedModel
from clbench.models.load import Model, load_model
from clbench.models.names import is_folder
from clbench.models.normalization import put_before, seen_by
from clbench.models.sources import folder, head_folder
from clbench.models.zoo import find_spec, zoo_names
from clbench.runtime.as_found import in_eval_mode
from clbench.runtime.hashing import tensors_sha256
from clbench.runtime.user_code import Code
from clbench.schema.dataclass_io import read_json
from clbench.schema.errors import BadValueError, ModelError, describe
from clbench.schema.head import ENTRY as HEAD
from clbench.schema.head import OWN_CODE, Seen
from clbench.schema.imported import ENTRY, WEIGHTS, ImportedModel
from clbench.schema.text import shown
from clbench.schema.training_record import BACKBONE

log = logging.getLogger(__name__)

_ANY_NUMBER = 1
"""Classes that every network has at least: which ones an encoder was trained on does not matter."""


@dataclass(frozen=True)
class Encoder:
    """An encoder with a classifier of a new width, which is to be fitted.

    Attributes:
        name: What it is called.
        source: Where it came from, in words.
        backbone: What its architecture is called.
        headed: The network with its classifier, in eval mode on the CPU.
        behind: Whether the classifier stands behind a network of code.
        features: How many numbers enter it.
        n_classes: What it tells apart.
        shape: Channels, height and width of the images that it is for.
        sha256: Of the state, the classifier left out.
        architecture: What it is built from; of ``OWN_CODE``, its name alone.
        seen: What stands before it.
        code: A user's own files that it is made of.
    """

    name: str
    source: str
    backbone: str
    headed: Headed
    behind: bool
    features: int
    n_classes: int
    shape: tuple[int, int, int]
    sha256: str
    architecture: Architecture
    seen: Seen
    code: Code | None = None

    def fresh(self) -> Headed:
        """Return a copy of the network, to be trained."""
        return copy.deepcopy(self.headed)


class _Found(NamedTuple):
    loaded: LoadedModel
    architecture: Architecture


def load_encoder(
    name: Model,
    *,
    images: Float[Tensor, "n c h w"],
    n_classes: int,
    dataset: str | None = None,
    weights: Path | None = None,
) -> Encoder:
    """Return the encoder that a model argument says, with a new classifier.

    Of a folder that ``clbench train`` made it is the pretrained backbone, in full precision. A
    network that has a classifier loses it, which is logged.

    Args:
        name: As for ``load_model``, but for RobustBench's and networks in memory.
        images: A few of those that it is for.
        n_classes: What the new classifier tells apart.
        dataset: The data set that they are of, the default of a zoo name's tag.
        weights: As for ``load_model``.

    Raises:
        ClbenchError: As ``load_model``; or the network cannot be written as a folder, fails on
            the images, or returns no features.
    """
    given = _read(name, weights)
    found = _load(given.what, images, dataset, given.weights)
    network, seen, architecture = found.loaded.network, _seen(found.loaded), found.architecture
    in_eval_mode(network)
    own = find_features(network, images)
    if behind := architecture.family == OWN_CODE:
        made = head_folder.with_classifier(network, own.layer, own.width, n_classes)
        headed, behind = Headed(made, own.layer or "fc"), not own.layer
    else:
        architecture = replace(architecture, options=architecture.options | {CLASSES: n_classes})
        headed = _rebuilt(architecture, network, own, seen, images)
    in_eval_mode(headed)
    _check_copied(headed)
    called = given.name or ".".join(filter(None, (found.loaded.name, found.loaded.tag)))
    if own.layer:
        log.info("classifier %r of %s is taken off: %d features", own.layer, called, own.width)
    return Encoder(
        name=called,
        source=", ".join(filter(None, (called, found.loaded.source))),
        backbone=found.loaded.backbone,
        headed=headed,
        behind=behind,
        features=own.width,
        n_classes=n_classes,
        shape=(images.shape[1], images.shape[2], images.shape[3]),
        sha256=_sha256(headed),
        architecture=architecture,
        seen=seen,
        code=found.loaded.code,
    )


def _read(name: Model, weights: Path | None) -> ModelArgument:
    """Return what a model argument says, with a file of weights that was given beside it."""
    if not isinstance(name, str | Path):
        raise BadValueError(
            f"encoder must be a name or a path, by which its folder can build it again, got "
            f"{shown(name)}"
        )
    given = read_argument(str(name))
    if given.weights and weights:
        raise BadValueError(
            f"encoder {str(name)!r} has its weights, got {weights} too; leave one out"
        )
    return given._replace(weights=weights or given.weights)


def _load(
    what: str, images: Float[Tensor, "n c h w"], dataset: str | None, weights: Path | None
) -> _Found:
    """Return a network with the name that it is built by."""
    _, c, h, w = images.shape
    prefix, colon, rest = what.partition(":")

    def load(name: str, weights: Path | None = weights) -> LoadedModel:
        return load_model(name, n_classes=_ANY_NUMBER, shape=(c, h, w), weights=weights)

    if prefix == "robustbench" and colon:
        raise BadValueError(
            f"encoder {what!r} is built by RobustBench; import its checkpoint: "
            "clbench import FILE --out DIR, and give the folder"
        )
    if what in zoo_names():
        loaded = load(find_spec(what, dataset).full_name)
        return _Found(loaded, named(loaded.backbone, _ANY_NUMBER, c)[0])
    if not (prefix == "timm" and colon) and is_folder(what):
        return _of_folder(Path(what), load, c)
    loaded = load(what)
    if prefix == "timm" and colon:
        return _Found(loaded, _timm(rest, images, resized=bool(_seen(loaded).interpolation)))
    return _Found(loaded, Architecture(OWN_CODE, _in_its_folder(what)))


def _of_folder(place: Path, load: Callable[..., LoadedModel], channels: int) -> _Found:
    """Return the network of a folder that ``import``, ``train`` or ``head`` made."""
    if (place / HEAD).is_file():
        head = head_folder.read_entry(place)
        if head.family == OWN_CODE:
            raise BadValueError(
                f"encoder {str(place)!r} is a head on {head.head.encoder!r}, which is code of your "
                "own; give that"
            )
        return _Found(load(str(place)), Architecture(head.family, head.architecture, head.options))
    if (place / ENTRY).is_file():
        entry = read_json(place / ENTRY, ImportedModel, "imported model", remedy=folder.REMEDY)
        architecture = Architecture(entry.family, entry.architecture, entry.options)
        return _Found(load(str(place)), architecture)
    loaded = load(folder.trained_as(place), place / WEIGHTS)
    architecture = named(loaded.backbone, _ANY_NUMBER, channels)[0]
    if (place / BACKBONE).is_file():
        network = replace(architecture, options=architecture.options | {CLASSES: 0}).build()
        load_checkpoint(network, place / BACKBONE)
        source = f"{loaded.source}, pretrained backbone"
        loaded = replace(loaded, network=network, source=source)
    return _Found(loaded, architecture)


def _timm(name: str, images: Float[Tensor, "n c h w"], *, resized: bool) -> Architecture:
    """Return what builds a network of timm for such images."""
    _, c, h, w = images.shape
    options: dict[str, Any] = {CLASSES: _ANY_NUMBER, "in_chans": c}
    if getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False) and not resized:
        options["img_size"] = [h, w]
    return Architecture("timm", name, options)


def _in_its_folder(what: str) -> str:
    """Return ``FILE.py:FACTORY`` without the folders before it, and other names as they are."""
    where, colon, factory = what.rpartition(":")
    return f"{Path(where).name}{colon}{factory}" if where.endswith(".py") else what


def _seen(loaded: LoadedModel) -> Seen:
    return seen_by(loaded.network, loaded.preprocessing)


def _rebuilt(
    architecture: Architecture,
    network: nn.Module,
    own: Features,
    seen: Seen,
    images: Float[Tensor, "n c h w"],
) -> Headed:
    """Return an architecture with the weights of a network, but for the classifier.

    Raises:
        ModelError: It has no linear classifier, or other weights than the network.
    """
    built = architecture.build()
    in_eval_mode(built)
    put_before(built, seen)
    there = find_features(built, images)
    if not there.layer or there.width != own.width:
        raise ModelError(
            f"architecture {architecture.called!r} has no single linear classifier behind its "
            f"features ({own.width}); give the encoder by FILE.py:FACTORY"
        )
    taken = {k: v for k, v in network.state_dict().items() if not _is_of(own.layer, k)}
    kept = {k: v for k, v in built.state_dict().items() if _is_of(there.layer, k)}
    if {*taken, *kept} != {*built.state_dict()}:
        raise ModelError(
            f"the encoder is no {architecture.called!r} as that is built; give it by "
            "FILE.py:FACTORY"
        )
    built.load_state_dict(taken | kept)
    return Headed(built, there.layer)


def _is_of(layer: str, key: str) -> bool:
    return bool(layer) and key.startswith(f"{layer}.")


def _sha256(headed: Headed) -> str:
    state = headed.network.state_dict()
    return tensors_sha256({k: v for k, v in state.items() if not _is_of(headed.layer, k)})


def _check_copied(network: nn.Module) -> None:
    try:
        copy.deepcopy(network)
    except Exception as error:
        raise ModelError(
            f"the encoder cannot be copied: {describe(error)}; build it without what cannot be"
        ) from error
