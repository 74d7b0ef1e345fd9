"""Training and validation images from files of the user's own."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from clbench.data.apart import apart
from clbench.data.checks import check_labels, check_pixels
from clbench.data.datasets import DATASETS
from clbench.data.image_set import ImageSet, make_image_set, to_floats
from clbench.data.interface import DatasetInfo, Examples
from clbench.data.load import training_set
from clbench.data.near_duplicates import unique_examples
from clbench.data.readers.files import read_file
from clbench.data.stored import in_memory
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.names import look_up

VALIDATION_SHARE = 50
"""One image in so many is kept for validation."""

_FEWEST = 2
"""Images that a class needs to be on both sides, and classes that a classifier needs."""


def training_files(
    dataset: str | DatasetInfo, paths: Sequence[Path], *, one_in: int = VALIDATION_SHARE
) -> tuple[ImageSet, ImageSet]:
    """Return the images to train on, and those that choose between trained networks.

    The files are joined in the order given, each in its own order. A picture that is in two files,
    be it compressed again, is taken from the later one only. The last part of what is left is
    validation; where a class has less than half of its share there, as in a small file or in one
    sorted by class, the last part of every class is.

    Args:
        dataset: A name of ``DATASETS``, or what to know of another data set; the images must have
            its shape, the labels its classes.
        paths: Files of any of the ``FILE_FORMATS``.
        one_in: One image in so many is for validation.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: No paths.
        DataError: A file is missing, unreadable, of another kind, or not of this data set, or there
            are not two classes of two images.
    """
    info = look_up(DATASETS, dataset, "dataset") if isinstance(dataset, str) else dataset
    if not paths:
        raise BadValueError("training on files needs at least one, got none; add --data FILE")
    files = unique_examples([_read(path, info) for path in paths])
    images = torch.cat([to_floats(in_memory(file.images)) for file in files])
    labels = torch.cat([file.labels for file in files])
    _check_classes(info.name, labels)
    chosen = _validation(labels, one_in)
    rest = torch.ones_like(labels, dtype=torch.bool).index_fill(0, chosen, value=False)
    train, validation = (
        make_image_set(f"{info.name}-{split}", images[kept], labels[kept], info.n_classes)
        for split, kept in (("train", rest), ("validation", chosen))
    )
    return train, validation


def _check_classes(dataset: str, labels: Int[Tensor, " n"]) -> None:
    """Check that two classes can be told apart, on images that were not trained on."""
    counts = labels.bincount()
    if int((counts > 0).sum()) == 1:
        raise DataError(
            f"training on {dataset} needs images of two classes, got {len(labels)} of class "
            f"{int(labels[0])} only; add files of other classes"
        )
    if int((counts >= _FEWEST).sum()) < _FEWEST:
        raise DataError(
            f"training on {dataset} needs two images of two classes at least, one of each to "
            f"validate with, got {len(labels)} images of {int((counts > 0).sum())} classes"
        )


def _validation(labels: Int[Tensor, " n"], one_in: int) -> Int[Tensor, " m"]:
    """Return which images are for validation: the last, or else the last of every class.

    Those of the classes are mixed, so that the first few are of many.
    """
    counts = labels.bincount()
    last = torch.arange(len(labels) - max(1, len(labels) // one_in), len(labels))
    found = labels[last].bincount(minlength=len(counts))
    if bool(((2 * one_in * found >= counts) & ((found < counts) | (counts == 0))).all()):
        return last
    places: list[tuple[float, int]] = []
    for label, count in enumerate(counts.tolist()):
        if count >= _FEWEST:
            own = (labels == label).nonzero().flatten()[-max(1, count // one_in) :].tolist()
            places += [((k + 0.5) / len(own), place) for k, place in enumerate(own)]
    return torch.tensor([place for _, place in sorted(places)])


def _read(path: Path, info: DatasetInfo) -> Examples:
    """Return the examples of a file, checked against the data set."""
    examples = read_file(path, info.shape[0])
    try:
        examples = examples._replace(images=in_memory(examples.images))
    except BadValueError as error:
        raise DataError(f"'{path}' {error}; give fewer images") from error
    shape = list(examples.images.shape[1:])
    if shape != list(info.shape):
        raise DataError(
            f"images of {path.name} must be {list(info.shape)} as those of {info.name}, got {shape}"
        )
    check_labels(path.name, examples.labels, info.n_classes)
    if examples.images.dtype.is_floating_point:
        check_pixels(path.name, examples.images)
    return examples


MOST_FITTED = 10_000
"""Training images that linear probes are fitted on, at most; more changes them little."""

MOST_CHOSEN_BY = 2_000
"""Validation images that the penalties of linear probes are chosen by, at most."""

_CHOSEN_BY_SHARE = 10
"""One image in so many of a user's own is for choosing, as there may be a few hundred in all."""


def probe_training(
    images: ImageSet,
    dataset: str | None,
    *,
    files: Sequence[Path] = (),
    data_dir: Path | None = None,
    download: bool = False,
) -> tuple[ImageSet, ImageSet]:
    """Return images to fit linear probes on and images to choose by.

    They are those of the data set, or of the user's own files. Of many, evenly spaced ones are
    taken, so that files sorted by class keep all classes. Of files, what is among ``images`` too is
    not fitted on, which is logged.

    Args:
        images: What the probes will be scored on.
        dataset: The data set that they are of; None for images of the user's own.
        files: Training images of the user's own.
        data_dir: As for ``training_set``.
        download: Likewise.

    Raises:
        BadValueError: There is nothing that says where they are.
        DataError: They are missing or unreadable.
    """
    if files:
        _, c, h, w = images.images.shape
        info = DatasetInfo(images.name, (c, h, w), images.n_classes, len(images))
        train, validation = training_files(info, files, one_in=_CHOSEN_BY_SHARE)
        train, validation = (
            apart(one, images, "the images that probes are scored on")[0]
            for one in (train, validation)
        )
    elif dataset is None or (data_dir is None and not DATASETS[dataset].packaged):
        where = "" if dataset is None else ", or --data-dir DIR"
        raise BadValueError(
            f"--linear-probes needs training images of {images.name}, got none; "
            f"give --train-data FILE{where}"
        )
    else:
        train, validation = (
            training_set(dataset, split, data_dir=data_dir, download=download)
            for split in ("train", "validation")
        )
    return train.at_most(MOST_FITTED), validation.at_most(MOST_CHOSEN_BY)
