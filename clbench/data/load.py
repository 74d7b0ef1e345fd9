"""Images to evaluate on and to train with; every set is checked and hashed."""

from pathlib import Path
from typing import Literal

from clbench.data.datasets import DATASETS, READERS
from clbench.data.image_set import ImageSet, count_examples, make_image_set, to_floats
from clbench.schema.names import look_up


def load_test_set(
    dataset: str,
    *,
    n_examples: int | None = None,
    data_dir: Path | None = None,
    download: bool = False,
) -> ImageSet:
    """Return the first test images of a data set, in the order that protocols count in.

    Args:
        dataset: A name of ``DATASETS``.
        n_examples: How many to take; all of them where None.
        data_dir: The folder that holds the data set's own folder; ``digits`` needs none.
        download: Whether to fetch what is missing in ``data_dir``; never done unasked.

    Raises:
        UnknownNameError: No such data set.
        BadValueError: ``n_examples`` is not from 1 to what there is, or ``data_dir`` is wanting.
        DataError: The data are missing, damaged, or cannot be downloaded.
    """
    info = look_up(DATASETS, dataset, "dataset")
    found = READERS[dataset](info, "test", data_dir=data_dir, download=download)
    n = count_examples(dataset, n_examples, available=len(found.labels))
    return make_image_set(dataset, to_floats(found.images[:n]), found.labels[:n], info.n_classes)


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
    images, labels = READERS[dataset](info, split, data_dir=data_dir, download=download)
    return make_image_set(f"{dataset}-{split}", to_floats(images), labels, info.n_classes)
