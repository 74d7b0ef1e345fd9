"""What a user names, settled, loaded and checked together: protocol, images and models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from clbench.data.datasets import DATASETS
from clbench.data.image_set import ImageSet
from clbench.data.load import load_images
from clbench.data.splits import probe_training
from clbench.models.interface import LoadedModel
from clbench.models.load import load_for
from clbench.schema.protocol import Protocol, resolve
from clbench.schema.records import DataEntry, ModelEntry


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

    @property
    def dataset_is_known(self) -> bool:
        """Whether the images are those of a protocol's data set."""
        return self.data is None or self.protocol is not None


def settle(setup: Setup) -> Protocol:
    """Return the protocol that was asked for, changed where an option overrides it."""
    return resolve(
        setup.protocol,
        own_data=setup.data is not None,
        norm=setup.norm,
        eps=setup.eps,
        attack=setup.attack,
        n_examples=setup.n_examples,
        seed=setup.seed,
    )


def load_data(setup: Setup, protocol: Protocol) -> ImageSet:
    """Return the images of a settled protocol, or the user's own."""
    own = setup.data is not None
    return load_images(
        setup.data or protocol.dataset,
        n_examples=setup.n_examples if own else protocol.n_examples,
        n_classes=DATASETS[protocol.dataset].n_classes if setup.protocol else None,
        data_dir=setup.data_dir,
        download=setup.download,
    )


def load_training(
    setup: Setup, protocol: Protocol, image_set: ImageSet
) -> tuple[ImageSet, ImageSet] | None:
    """Return images to fit linear probes on and to choose by, or None where none are wanted."""
    if not setup.layer_probes:
        return None
    return probe_training(
        image_set,
        protocol.dataset if setup.data is None else None,
        files=setup.train_data,
        data_dir=setup.data_dir,
        download=setup.download,
    )


def load_checked(
    name: str,
    setup: Setup,
    protocol: Protocol,
    image_set: ImageSet,
    device: torch.device,
    *,
    weights: Path | None = None,
) -> tuple[LoadedModel, ImageSet]:
    """Return the model on its device, checked on a few images, and the data in its classes."""
    return load_for(
        name,
        image_set,
        dataset=protocol.dataset if setup.dataset_is_known else None,
        norm=protocol.threat_model.norm,
        device=device,
        weights=weights,
    )


def model_entry(model: LoadedModel) -> ModelEntry:
    """Return what a record says of a model."""
    return model.entry


def data_entry(image_set: ImageSet) -> DataEntry:
    """Return what a record says of images."""
    return DataEntry(*image_set.id)
