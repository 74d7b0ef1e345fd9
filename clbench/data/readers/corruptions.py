"""Corrupted images in the public layouts: arrays for CIFAR, folders of pictures for ImageNet."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from clbench.data.readers.imagenet import Preprocessing, read_pictures
from clbench.data.stored import Images, first
from clbench.schema.corruptions import SEVERITIES, CorruptedSet
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.files import DAMAGED_NPZ

_SHAPE = (32, 32, 3)

_SMALL = "Res224"
"""What RobustBench does to corrupted pictures, whatever a network sees of others."""


def read_corrupted(
    of: CorruptedSet,
    corruption: str,
    severity: int,
    labels: Int64[Tensor, " n"],
    data_dir: Path,
) -> Images:
    """Return the first corrupted images, uint8 [n, c, h, w].

    Args:
        of: The set.
        corruption: One of its corruptions.
        severity: From 1 to 5.
        labels: Those of the clean images, which must be the corrupted ones' too.
        data_dir: The folder that holds the set's own.

    Raises:
        DataError: A file is missing, damaged, or of other images.
    """
    folder = data_dir / of.folder
    if of.dataset != "imagenet":
        return _read_array(folder, corruption, severity, labels)
    found = read_pictures(folder / corruption / str(severity), of.name, Preprocessing.of(_SMALL))
    _check_labels(folder, labels, found.labels[: len(labels)])
    return first(found.images, len(labels))


def _read_array(
    folder: Path, corruption: str, severity: int, labels: Int64[Tensor, " n"]
) -> Tensor:
    images, known = _mapped(folder / f"{corruption}.npy"), _mapped(folder / "labels.npy")
    n_all, rest = divmod(len(images), len(SEVERITIES))
    if images.dtype != np.uint8 or images.shape[1:] != _SHAPE or rest or len(known) < n_all:
        raise DataError(
            f"{folder / corruption}.npy must be uint8 [5 n, 32, 32, 3] and labels [n], got "
            f"{images.dtype} {list(images.shape)} and {len(known)} labels"
        )
    if len(labels) > n_all:
        raise BadValueError(f"{folder.name} has {n_all} images, got --n-examples {len(labels)}")
    _check_labels(folder, labels, torch.from_numpy(known[: len(labels)].astype(np.int64)))
    start = (severity - 1) * n_all
    part = np.array(images[start : start + len(labels)])
    return torch.from_numpy(part).permute(0, 3, 1, 2)


def _mapped(path: Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"'{path}' does not exist; give the right --data-dir") from error
    except DAMAGED_NPZ as error:
        raise DataError(f"'{path}' is cut off, damaged or no array; unpack it again") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"'{path}' holds several arrays; unpack it again")
    return found


def _check_labels(folder: Path, clean: Tensor, corrupted: Tensor) -> None:
    if not torch.equal(clean, corrupted):
        raise DataError(f"labels in '{folder}' are not those of the clean images; unpack it again")
