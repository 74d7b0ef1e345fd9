"""What a user names, settled, loaded and checked together: protocol, images and models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clbench.data.datasets import DATASETS, PACKAGED
from clbench.data.image_set import ImageSet
from clbench.data.interface import DatasetInfo
from clbench.data.load import load_test_set, training_set
from clbench.data.readers.npz import load_arrays
from clbench.data.splits import training_files
from clbench.models import LoadedModel, load_model, validate_network
from clbench.schema.errors import BadValueError
from clbench.schema.protocol import CUSTOM, DEFAULT_PROTOCOL, Protocol, find_protocol
from clbench.schema.records import DataEntry, ModelEntry

MOST_FITTED = 10_000
"""Training images that layer probes are fitted on, at most; more changes them little."""

MOST_CHOSEN_BY = 2_000
"""Validation images that the penalties of layer probes are chosen by, at most."""

_CHOSEN_BY_SHARE = 10
"""One image in so many of a user's own is for choosing, as there may be a few hundred in all."""

_PREFLIGHT_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a user said of images and threat model, as typed; None leaves it to the protocol."""

    protocol: str | None = None
    data: Path | None = None
    data_dir: Path | None = None
    download: bool = False
    norm: str | None = None
    eps: str | None = None
    n_examples: int | None = None
    attack: str | None = None
    seed: int | None = None
    layer_probes: bool = False
    train_data: Sequence[Path] = ()


def settle(setup: Setup) -> Protocol:
    """Return the protocol that was asked for, changed where an option overrides it.

    Raises:
        BadValueError: A value that cannot be, or a threat model left open.
        UnknownNameError: There is no such protocol.
    """
    if setup.data and setup.protocol is None and setup.eps is None:
        raise BadValueError(
            "--data has no threat model of its own; give --norm and --eps, or a --protocol"
        )
    protocol = find_protocol(setup.protocol or DEFAULT_PROTOCOL)
    changed = protocol.override(
        norm=setup.norm,
        eps=setup.eps,
        attack=setup.attack,
        n_examples=setup.n_examples,
        seed=setup.seed,
    )
    return replace(changed, name=CUSTOM) if setup.data else changed


def load_data(setup: Setup, protocol: Protocol) -> ImageSet:
    """Return the images of a settled protocol, or the user's own.

    Raises:
        DataError: They are missing or unreadable.
        BadValueError: There are fewer than were asked for.
    """
    if setup.data is None:
        return load_test_set(
            protocol.dataset,
            n_examples=protocol.n_examples,
            data_dir=setup.data_dir,
            download=setup.download,
        )
    n_classes = DATASETS[protocol.dataset].n_classes if setup.protocol else None
    return load_arrays(setup.data, n_examples=setup.n_examples, n_classes=n_classes)


def load_training(
    setup: Setup, protocol: Protocol, image_set: ImageSet
) -> tuple[ImageSet, ImageSet] | None:
    """Return images to fit layer probes on and images to choose by, or None where none are wanted.

    They are those of the data set, or of the user's own files. Of many, evenly spaced ones are
    taken, so that files sorted by class keep all classes.

    Raises:
        BadValueError: There is nothing that says where they are.
        DataError: They are missing or unreadable.
    """
    if not setup.layer_probes:
        return None
    own_images = setup.data is not None
    if setup.train_data:
        shape = (image_set.images.shape[1], image_set.images.shape[2], image_set.images.shape[3])
        info = DatasetInfo(image_set.name, shape, image_set.n_classes, len(image_set))
        train, validation = training_files(info, setup.train_data, one_in=_CHOSEN_BY_SHARE)
    elif own_images or (setup.data_dir is None and protocol.dataset not in PACKAGED):
        where = "" if own_images else ", or --data-dir DIR"
        raise BadValueError(
            f"--layer-probes needs training images of {image_set.name}, got none; "
            f"give --train-data FILE{where}"
        )
    else:
        train, validation = (
            training_set(protocol.dataset, split, data_dir=setup.data_dir, download=setup.download)
            for split in ("train", "validation")
        )
    return train.at_most(MOST_FITTED), validation.at_most(MOST_CHOSEN_BY)


def load_checked(
    name: str,
    setup: Setup,
    protocol: Protocol,
    image_set: ImageSet,
    device: torch.device,
    *,
    weights: Path | None = None,
) -> tuple[LoadedModel, ImageSet]:
    """Return the model on its device, checked on a few real images, and the data in its classes.

    A user's own labels need not show every class that the model knows.

    Raises:
        ClbenchError: There is no such model, it cannot be built, or does not fit the images.
    """
    own_data = setup.data is not None and setup.protocol is None
    _, c, h, w = image_set.images.shape
    model = load_model(
        name,
        dataset=None if own_data else protocol.dataset,
        n_classes=image_set.n_classes,
        shape=(c, h, w),
        norm=protocol.threat_model.norm,
        weights=weights,
    )
    network, images = model.network.to(device), image_set.images[:_PREFLIGHT_IMAGES].to(device)
    flags = validate_network(network, images, image_set.n_classes, or_more=own_data)
    with torch.no_grad():
        n_classes = network(images[:1]).shape[1]
    model = replace(model, network=network, flags=tuple(dict.fromkeys((*model.flags, *flags))))
    return model, replace(image_set, n_classes=n_classes)


def model_entry(model: LoadedModel) -> ModelEntry:
    """Return what a record says of a model."""
    return ModelEntry(
        name=model.name,
        scheme=model.scheme,
        scenario=model.scenario,
        backbone=model.backbone,
        tag=model.tag,
        weights_sha256=model.weights_sha256,
        source=model.source,
    )


def data_entry(image_set: ImageSet) -> DataEntry:
    """Return what a record says of images."""
    return DataEntry(image_set.name, len(image_set), image_set.sha256)
