"""CIFAR-10 and CIFAR-100 from the public archives, in torchvision's layout."""

from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from clbench.data.interface import DatasetInfo, Examples, Split
from clbench.schema.errors import BadValueError, DataError

Archive = Any
"""A data set class of torchvision, which is not typed."""

_ARCHIVES: dict[str, Archive] = {"cifar10": CIFAR10, "cifar100": CIFAR100}

_VALIDATION_SHARE = 10
"""One training image in so many is kept for validation."""


def read_cifar(
    info: DatasetInfo, split: Split, *, data_dir: Path | None, download: bool
) -> Examples:
    """Return one split, 8-bit, in the archive's own order.

    The last tenth of the 50,000 training images is validation (5,000), the rest training (45,000):
    the archive's order is random already, so no seed is needed. The test split is the archive's.
    torchvision compares the md5 of every file with the published one before anything is read.

    Raises:
        BadValueError: No ``data_dir``.
        DataError: The archive is not there, is damaged, or cannot be downloaded; the message says
            which file and what to do.
    """
    archive = _ARCHIVES[info.name]
    if data_dir is None:
        raise BadValueError(
            f"{info.name} needs --data-dir, the folder that holds {archive.base_folder}; "
            "clbench eval --download fetches it there"
        )
    try:
        found = archive(data_dir, train=split != "test", download=download)
    except (OSError, HTTPException, RuntimeError) as error:
        explain = _failed_download if download else _unreadable
        raise DataError(explain(info.name, archive, data_dir, error)) from error
    kept = _kept(split, len(found.targets))
    images = torch.from_numpy(found.data[kept]).permute(0, 3, 1, 2)
    return Examples(images, torch.tensor(found.targets[kept], dtype=torch.int64))


def _kept(split: Split, n: int) -> slice:
    n_train = n - n // _VALIDATION_SHARE
    return {"test": slice(n), "train": slice(n_train), "validation": slice(n_train, n)}[split]


def _failed_download(name: str, archive: Archive, data_dir: Path, error: Exception) -> str:
    cause = str(error).partition("\n")[0]
    return (
        f"cannot download {name} from {archive.url} to '{data_dir}': {cause}; "
        f"unpack {archive.filename} there by hand"
    )


def _unreadable(name: str, archive: Archive, data_dir: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read {name} in '{data_dir}': {error}"
    folder = data_dir / archive.base_folder
    if not folder.is_dir():
        return (
            f"no {name} in '{data_dir}': it holds no folder {archive.base_folder}; "
            "give the right --data-dir, or let clbench eval --download fetch it"
        )
    meta = [archive.meta["filename"], archive.meta["md5"]]
    files = (*archive.train_list, *archive.test_list, meta)
    wrong = [file for file, md5 in files if not check_integrity(folder / file, md5)]
    return (
        f"{name} in '{data_dir}' is incomplete or damaged: {', '.join(wrong)}; "
        f"unpack {archive.filename} there again, or let clbench eval --download fetch it"
    )
