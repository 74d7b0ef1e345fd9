"""Images to evaluate on and to train with; every set is checked and hashed."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from clbench.data.checks import check_labels
from clbench.data.datasets import DATASETS, TEST_SETS, name_by_content
from clbench.data.image_set import (
    ImageSet,
    count_examples,
    make_image_set,
)
from clbench.data.interface import DatasetInfo, Examples, Split
from clbench.data.readers.files import class_names, read_file
from clbench.data.readers.folder import name_of
from clbench.data.readers.imagenet import read_imagenet
from clbench.data.readers.memory import WANTED, read_memory
from clbench.data.stored import first
from clbench.runtime.user_code import is_own, load_own
from clbench.schema.errors import DataError, describe
from clbench.schema.names import look_up
from clbench.schema.protocol import Protocol
from clbench.schema.text import shown

ENTRY_POINT_GROUP = "clbench.readers"
"""Where other packages register a name for a function that returns images and labels."""

Data = str | Path | ImageSet | tuple[Any, Any] | list[Any]
"""A name of ``TEST_SETS``, a file, an image set, or images [n, c, h, w] and labels [n]."""


def load_images(
    data: Data,
    *,
    n_examples: int | None = None,
    n_classes: int | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    preprocessing: str = "",
) -> ImageSet:
    """Return the images that ``data`` says, the first ones in its order.

    Args:
        data: A name of ``TEST_SETS``; a file (see ``load_file``), which bears the name of a data
            set where it holds its first test images; ``FILE.py:NAME`` or a name registered under
            ``clbench.readers``, a function that returns images and labels; an image set; or images,
            uint8 or floats in [0, 1] of shape [n, c, h, w], and labels [n], as arrays or tensors.
        n_examples: How many to take; all of them where None.
        n_classes: How many classes there are; where None, the largest label plus 1.
        data_dir: As for ``load_test_set``.
        download: Likewise.
        preprocessing: Likewise.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: ``n_examples`` is not from 1 to what there is.
        DataError: They are missing, unreadable or wrong.
    """
    match data:
        case ImageSet():
            return data if n_examples is None else data.head(n_examples)
        case str() if data in TEST_SETS:
            return load_test_set(
                data,
                n_examples=n_examples,
                data_dir=data_dir,
                download=download,
                preprocessing=preprocessing,
            )
        case str() | Path() if is_own(str(data), ENTRY_POINT_GROUP):
            return _from_own_code(str(data), n_examples, n_classes)
        case str() | Path():
            found = load_file(Path(data), n_examples=n_examples, n_classes=n_classes)
            return found.named(name_by_content(found.sha256, found.name))
        case images, labels:
            return _from_memory(images, labels, n_examples, n_classes)
        case _:
            raise DataError(
                f"data must be the name of a data set, a file, an ImageSet, or {WANTED}, "
                f"got {' '.join(shown(data).split())}"
            )


def load_file(
    path: Path, n_examples: int | None = None, *, n_classes: int | None = None
) -> ImageSet:
    """Return the first examples of a file of one of the ``FILE_FORMATS``, or of a folder.

    The set is called after the file, its ending included, so that it is never taken for a data set
    that clbench knows. Its images are read from there when they are asked for, unless they are few.

    Args:
        path: The file, or a folder of one of the ``FOLDER_FORMATS``.
        n_examples: How many to take from the beginning; all of them where None.
        n_classes: How many classes there are; where None, the largest label of the whole file
            plus 1, which does not depend on ``n_examples``.

    Raises:
        DataError: The file is missing, unreadable, or holds something else than images and labels.
        BadValueError: ``n_examples`` is not from 1 to what there is.
    """
    images, labels = read_file(path)
    name, names = name_of(path) if path.is_dir() else path.name, class_names(path)
    classes = max(int(labels.max()) + 1, len(names), 1) if n_classes is None else n_classes
    check_labels(name, labels, classes)
    n = count_examples(name, n_examples, available=len(labels))
    made = make_image_set(name, first(images, n), labels[:n], classes)
    return replace(made, class_names=names)


def evaluated_images(
    protocol: Protocol,
    data: Data | None,
    *,
    named: bool,
    n_examples: int | None,
    data_dir: Path | None = None,
    download: bool = False,
    preprocessing: str = "",
) -> tuple[ImageSet, str | None]:
    """Return the images that a user asked for, and the data set whose classes they are of.

    Args:
        protocol: What was settled; its images are taken where there are no others.
        data: Images of the user's own, or None.
        named: Whether the user named the protocol, which then says what these are of.
        n_examples: How many of these to take; all of them where None.
        data_dir: As for ``load_test_set``.
        download: Likewise.
        preprocessing: Likewise.

    Raises:
        ClbenchError: As ``load_images``.
    """
    dataset = protocol.dataset if named or data is None else None
    images = load_images(
        protocol.dataset if data is None else data,
        n_examples=protocol.n_examples if data is None else n_examples,
        n_classes=TEST_SETS[dataset].n_classes if dataset else None,
        data_dir=data_dir,
        download=download,
        preprocessing=preprocessing,
    )
    return images, dataset


def _from_own_code(name: str, n_examples: int | None, n_classes: int | None) -> ImageSet:
    """Return what a user's own function reads: images and labels, as from memory."""
    what = f"data '{name}'"
    found = load_own(what, name, ENTRY_POINT_GROUP, DataError)
    if not callable(found.value):
        kind = type(found.value).__name__
        raise DataError(f"{what} must be a function that returns images and labels, got {kind}")
    try:
        images, labels = found.value()
    except Exception as error:
        raise DataError(f"{what} did not return images and labels: {describe(error)}") from error
    return _from_memory(images, labels, n_examples, n_classes).named(name.rpartition("/")[2])


def _from_memory(
    images: object,
    labels: object,
    n_examples: int | None,
    n_classes: int | None,
) -> ImageSet:
    found = read_memory("arrays", images, labels)
    known = n_classes or (int(found.labels.max()) + 1 if found.labels.numel() else 1)
    made = make_image_set("arrays", found.images, found.labels, known)
    return made if n_examples is None else made.head(n_examples)


def load_test_set(
    dataset: str,
    *,
    n_examples: int | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    preprocessing: str = "",
) -> ImageSet:
    """Return the first test images of a data set, in the order that protocols count in.

    Args:
        dataset: A name of ``TEST_SETS``.
        n_examples: How many to take; all of them where None.
        data_dir: The folder that holds the data set's own folder; ``digits`` needs none.
        download: Whether to fetch what is missing in ``data_dir``; never done unasked.
        preprocessing: What is done to pictures of ImageNet first, by RobustBench's name of it;
            "" for the usual. Other data sets have none.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: ``n_examples`` is not from 1 to what there is, or ``data_dir`` is wanting.
        DataError: The data are missing, damaged, or cannot be downloaded.
    """
    info = look_up(TEST_SETS, dataset, "dataset")
    if preprocessing:
        info = replace(info, reader=partial(read_imagenet, preprocessing=preprocessing))
    found = _read(info, "test", data_dir, download=download)
    n = count_examples(dataset, n_examples, available=len(found.labels))
    return make_image_set(dataset, first(found.images, n), found.labels[:n], info.n_classes)


def training_set(
    dataset: str,
    split: Literal["train", "validation"],
    *,
    data_dir: Path | None = None,
    download: bool = False,
) -> ImageSet:
    """Return the images to train on, or those that choose between trained networks.

    ``digits``: 1,257 and 180. CIFAR: the first 45,000 and the last 5,000 training images.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: ``data_dir`` is wanting.
        DataError: The data are missing, damaged, or cannot be downloaded.
    """
    info = look_up(DATASETS, dataset, "dataset")
    images, labels = _read(info, split, data_dir, download=download)
    return make_image_set(f"{dataset}-{split}", images, labels, info.n_classes)


def _read(info: DatasetInfo, split: Split, data_dir: Path | None, *, download: bool) -> Examples:
    assert info.reader is not None, "every row of the table has a reader"
    return info.reader(info, split, data_dir=data_dir, download=download)
