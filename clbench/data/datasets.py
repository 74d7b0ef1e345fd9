"""The table of data sets: one row each."""

from collections import ChainMap
from collections.abc import Mapping

from clbench.data.interface import DatasetInfo
from clbench.data.readers.cifar import read_cifar
from clbench.data.readers.digits import read_digits
from clbench.data.readers.imagenet import read_imagenet

_CIFAR10_HEAD = "26605548371b38d65b0f5646b7b1aa8b625e2d5c97f2a5109549668420a8bddf"
"""The first 512 test images."""

_CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

DATASETS: dict[str, DatasetInfo] = {
    row.name: row
    for row in (
        DatasetInfo("digits", (1, 8, 8), 10, 360, read_digits, packaged=True),
        DatasetInfo(
            *("cifar10", (3, 32, 32), 10, 10_000, read_cifar),
            class_names=_CIFAR10,
            known=(_CIFAR10_HEAD,),
        ),
        DatasetInfo("cifar100", (3, 32, 32), 100, 10_000, read_cifar),
    )
}
"""A new data set is a reader, and its row here."""

TEST_SETS: Mapping[str, DatasetInfo] = ChainMap(
    DATASETS, {"imagenet": DatasetInfo("imagenet", (3, 224, 224), 1000, 5_000, read_imagenet)}
)
"""What networks can be evaluated on: these, and data sets that nobody trains on here."""


def name_by_content(sha256: str, otherwise: str) -> str:
    """Return the data set whose first test images have this hash, or the other name."""
    return next((row.name for row in DATASETS.values() if sha256 in row.known), otherwise)
