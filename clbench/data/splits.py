"""Training and validation images from files of the user's own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clbench.data.datasets import DATASETS
from clbench.data.image_set import ImageSet, check_labels, check_pixels, make_image_set, to_floats
from clbench.data.interface import DatasetInfo, Examples
from clbench.data.near_duplicates import unique_examples
from clbench.data.readers.npz import read_arrays
from clbench.data.readers.parquet import read_parquet
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.names import look_up

FILE_READERS: dict[str, Callable[[Path, int], Examples]] = {
    ".npz": lambda path, _: read_arrays(path),
    ".parquet": read_parquet,
}
"""Who reads files with this ending; given the path and how many channels are wanted."""

VALIDATION_SHARE = 50
"""One image in so many is kept for validation."""

_FEWEST = 2


def training_files(
    dataset: str | DatasetInfo, paths: Sequence[Path], *, one_in: int = VALIDATION_SHARE
) -> tuple[ImageSet, ImageSet]:
    """Return the images to train on, and those that choose between trained networks.

    The files are joined in the order given, each in its own order. A picture that is in two files,
    be it compressed again, is taken from the later one only. The last part of what is left, at
    least one image, is validation; a last file sorted by class would make it one of few classes.

    Args:
        dataset: A name of ``DATASETS``, or what to know of another data set; the images must have
            its shape, the labels its classes.
        paths: Files ending in .npz (as for ``load_arrays``) or .parquet (as for ``read_parquet``).
        one_in: One image in so many is for validation.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: No paths.
        DataError: A file is missing, unreadable, of another kind, or not of this data set, or there
            are too few images.
    """
    info = look_up(DATASETS, dataset, "dataset") if isinstance(dataset, str) else dataset
    if not paths:
        raise BadValueError("training on files needs at least one, got none; add --data FILE")
    files = unique_examples([_read(path, info) for path in paths])
    images = torch.cat([to_floats(file.images) for file in files])
    labels = torch.cat([file.labels for file in files])
    if len(labels) < _FEWEST:
        raise DataError(
            f"training on {info.name} needs at least {_FEWEST} images, got {len(labels)}"
        )
    n_train = len(labels) - max(1, len(labels) // one_in)
    return (
        make_image_set(f"{info.name}-train", images[:n_train], labels[:n_train], info.n_classes),
        make_image_set(
            f"{info.name}-validation", images[n_train:], labels[n_train:], info.n_classes
        ),
    )


def _read(path: Path, info: DatasetInfo) -> Examples:
    """Return the examples of a file, checked against the data set."""
    reader = FILE_READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"'{path}' must end in {' or '.join(FILE_READERS)}")
    examples = reader(path, info.shape[0])
    shape = list(examples.images.shape[1:])
    if shape != list(info.shape):
        raise DataError(
            f"images of {path.name} must be {list(info.shape)} as those of {info.name}, got {shape}"
        )
    check_labels(path.name, examples.labels, info.n_classes)
    if examples.images.is_floating_point():
        check_pixels(path.name, examples.images)
    return examples
