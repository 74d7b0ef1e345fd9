"""Networks of timm: ``timm:NAME``."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import timm
from torch import nn

from clbench.models.checkpoints.fill import DoesNotFitError
from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.models.normalization import NONE, normalise_inside, resize_inside
from clbench.models.register import check_owner, owner_of, zoo_row
from clbench.models.sources.zoo import check_shape, trained_as
from clbench.models.weights import rows_in
from clbench.schema.errors import (
    ClbenchError,
    ModelError,
    UnknownNameError,
    WeightsError,
    describe,
)
from clbench.schema.names import closest

log = logging.getLogger(__name__)

_AT_HOME = ("timm", "clbench")
"""The packages whose models need no other owner's name in a record."""


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return timm's network for these images, with its pretrained weights or with a user's.

    It normalises the images as its configuration says, which is what trainings with timm do. With
    timm's weights, it resizes them too; with a user's, it does so only where these fit no other
    size, as they may have been trained on images of this one. Where the user says what stands
    before it, none of this is done.

    Raises:
        UnknownNameError: timm has no such model.
        ModelError: It cannot be built for these images, or two packages registered the name.
        BadValueError: It is of the zoo, whose networks are for images of another size.
        WeightsError: The weights are of other classes, missing, damaged, or of another network.
    """
    check_owner(name)
    loaded = _load_at_a_size(name, wanted)
    row = zoo_row(name)
    if row is None or wanted.weights is None:
        return loaded
    trained = trained_as(loaded.name, row, wanted.weights)
    return loaded if trained.name == row.name else replace(loaded, **trained._asdict())


def _load_at_a_size(name: str, wanted: Wanted) -> LoadedModel:
    cfg = pretrained_cfg(name)
    row = zoo_row(name)
    if row:
        check_shape(f"timm:{name}", row, wanted)
        wanted = wanted._replace(preprocessing=None)  # which is known, and refused by the caller
    other_size = tuple(getattr(cfg, "input_size", wanted.shape))[1:] != wanted.shape[1:]
    given = wanted.preprocessing
    if given is not None:
        return _load(name, cfg, wanted, resized=bool(given.resize or given.crop))
    if wanted.weights is None:
        return _load(name, cfg, wanted, resized=other_size)
    try:
        return _load(name, cfg, wanted, resized=False)
    except DoesNotFitError:
        # a network of a fixed size may have been trained at its own, and not at that of the images
        if not (other_size and getattr(cfg, "fixed_input_size", False)):
            raise
        return _load(name, cfg, wanted, resized=True)


def _load(name: str, cfg: object, wanted: Wanted, *, resized: bool) -> LoadedModel:
    network = _build(name, cfg, wanted, resized=resized)
    settings: Mapping[str, Any] = network.pretrained_cfg  # type: ignore[assignment] # timm's
    if wanted.preprocessing is not None:
        return loaded_from_elsewhere(
            network,
            f"timm:{name}",
            wanted.weights,
            source=", ".join([f"timm {timm.__version__}", *_owner(name)]),
            backbone=name.partition(".")[0],
        )
    steps = [resize_inside(network, settings)] if resized else []
    normalised = normalise_inside(network, settings, wanted.shape[0])
    steps += [normalised] if normalised != NONE else []
    changed = ["resized"] if resized else []
    changed += ["normalised"] if wanted.weights and normalised != NONE else []
    loaded = loaded_from_elsewhere(
        network,
        f"timm:{name}",
        wanted.weights,
        source=", ".join([f"timm {timm.__version__}", *_owner(name), *changed]),
        backbone=name.partition(".")[0],
        preprocessing=", ".join(steps) or NONE,
    )
    _tell(loaded, settings, wanted, changed)
    return loaded


def _owner(name: str) -> list[str]:
    owner = owner_of(name)
    return [] if owner.partition(".")[0] in _AT_HOME else [f"of {owner}"]


def _build(name: str, cfg: object, wanted: Wanted, *, resized: bool) -> nn.Module:
    pretrained = wanted.weights is None
    channels, *size = wanted.shape
    fixed = getattr(cfg, "fixed_input_size", False) and not resized
    options = {"img_size": tuple(size)} if fixed else {}
    try:
        network: nn.Module = timm.create_model(
            name,
            pretrained,
            num_classes=_n_classes(name, cfg, wanted),
            in_chans=channels,
            **options,
        )
    except ClbenchError:
        raise
    except Exception as error:
        where = "with its pretrained weights" if pretrained else f"for images {list(wanted.shape)}"
        hint = "give a file with --weights" if pretrained else "choose another network"
        raise ModelError(
            f"timm model '{name}' cannot be built {where}: {describe(error)}; {hint}"
        ) from error
    return network


def _n_classes(name: str, cfg: object, wanted: Wanted) -> int:
    """Return how many outputs to build: as many as the weights have, if the labels allow it.

    Raises:
        WeightsError: timm's weights have fewer than the data, or others.
    """
    classifier = getattr(cfg, "classifier", None)
    if wanted.weights is None:
        trained = getattr(cfg, "num_classes", wanted.n_classes)
    else:
        # networks with several heads, for distillation, have several names
        layer = classifier[0] if isinstance(classifier, tuple | list) and classifier else classifier
        trained = rows_in(wanted.weights, layer) if isinstance(layer, str) else None
    if trained is None or trained == wanted.n_classes:
        return wanted.n_classes
    if wanted.or_more and trained > wanted.n_classes:
        return int(trained)
    if wanted.weights is None:
        raise WeightsError(
            f"timm model '{name}' was trained on {trained} classes, the data has "
            f"{wanted.n_classes}; give other weights with --weights"
        )
    return wanted.n_classes  # filling it says what does not fit


def _tell(
    loaded: LoadedModel, cfg: Mapping[str, Any], wanted: Wanted, changed: Sequence[str]
) -> None:
    """Say what was assumed of images and weights that are not as the configuration has them."""
    size = "x".join(map(str, wanted.shape[1:]))
    configured = "x".join(map(str, cfg["input_size"][1:]))
    if changed:
        log.warning("%s sees images %s, as timm has it", loaded.name, loaded.preprocessing)
    if configured != size and "resized" not in changed:
        log.warning(
            "%s is configured for images of %s, it sees these as they are, %s",
            *(loaded.name, configured, size),
        )


def pretrained_cfg(name: str) -> object:
    """Return timm's configuration of a model.

    Raises:
        UnknownNameError: timm has no such model.
    """
    known = timm.list_models(include_tags=True)
    if name in known or name in timm.list_models():
        return timm.get_pretrained_cfg(name)
    near = closest(name, [*timm.list_models(), *known])
    hint = f"did you mean '{near}'?" if near else "timm.list_models() lists them"
    raise UnknownNameError(f"unknown timm model {name!r}; {hint}")
