"""The images of a training: where they come from, and what may be wrong with them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from clbench.data.apart import apart
from clbench.data.datasets import DATASETS
from clbench.data.image_set import ImageSet
from clbench.data.interface import DatasetInfo
from clbench.data.load import load_test_set, training_set
from clbench.data.near_duplicates import copies
from clbench.data.splits import training_files

_LOGGER = logging.getLogger(__name__)

NOT_COMPARED = "not compared with these images"
"""What is known of test images that are not at hand."""

_SHOWN = 5
"""Classes that a note names at most."""


@dataclass(frozen=True)
class TrainingImages:
    """Images to train on, and those that choose between epochs.

    ``notes`` say what may be wrong with them, a line each; ``test_images`` what is known of the
    data set's test images among them.
    """

    train: ImageSet
    validation: ImageSet
    notes: tuple[str, ...] = ()
    test_images: str = NOT_COMPARED


def training_images(
    dataset: str | DatasetInfo,
    files: Sequence[Path],
    *,
    data_dir: Path | None = None,
    download: bool = False,
) -> TrainingImages:
    """Return the images of a data set, or of files of the user's own.

    What is known of a data set that clbench has no row for may stand in place of its name; there
    are files then.

    Of files, a training image that is a validation image too, bit for bit, is left out. What else
    is on both sides, or among the test images where these are at hand, is in the notes. For files
    they are logged: a public data set is as it is.

    Raises:
        BadValueError: Nothing says where the data set is.
        DataError: Images are missing, unreadable, too few, or all on both sides.
    """
    if files:
        train, validation = training_files(dataset, files)
    else:
        assert isinstance(dataset, str), "other images come from files"
        read = partial(training_set, dataset, data_dir=data_dir, download=download)
        train, validation = read("train"), read("validation")
    train, notes = apart(train, validation, "validation images", own=bool(files))
    test_images, more = NOT_COMPARED, _absent(train)
    if isinstance(dataset, str) and at_hand(dataset, data_dir):
        test = load_test_set(dataset, data_dir=data_dir, download=download)
        test_images, tested = _compared(test, train, validation)
        more += tested
    for note in more if files else ():
        _LOGGER.warning(note)
    return TrainingImages(train, validation, (*notes, *more), test_images)


def at_hand(dataset: str, data_dir: Path | None) -> bool:
    """Return whether the public images of a data set can be read."""
    return data_dir is not None or DATASETS[dataset].packaged


def _absent(train: ImageSet) -> list[str]:
    """Return a note where classes of the data set are never seen."""
    absent = [str(label) for label in range(train.n_classes) if not (train.labels == label).any()]
    if not absent:
        return []
    few = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
    return [f"{len(absent)} of {train.n_classes} classes have no training image: {few}"]


def _compared(test: ImageSet, *used: ImageSet) -> tuple[str, list[str]]:
    """Return what is known of test images among those used, and notes."""
    found = [copies(test.images, images.images) for images in used]
    exact = torch.stack([one.exact for one in found]).any(dim=0)
    near = torch.stack([one.near for one in found]).any(dim=0) & ~exact
    if not (exact | near).any():
        return f"none of {len(test)} is among these images, nor a near duplicate of one", []
    said = (
        f"{int(exact.sum())} of {len(test)} are among these images, {int(near.sum())} more nearly"
    )
    return said, [f"of the test images, {said}: accuracy on them will be too high"]
