"""The table of data sets."""

from clbench.data.interface import DatasetInfo, Reader
from clbench.data.readers.cifar import read_cifar
from clbench.data.readers.digits import read_digits

DATASETS: dict[str, DatasetInfo] = {
    row.name: row
    for row in (
        DatasetInfo("digits", (1, 8, 8), 10, 360),
        DatasetInfo("cifar10", (3, 32, 32), 10, 10_000),
        DatasetInfo("cifar100", (3, 32, 32), 100, 10_000),
    )
}


READERS: dict[str, Reader] = {
    "digits": read_digits,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
}
"""Who reads which row of ``DATASETS``."""


PACKAGED = ("digits",)
"""Data sets that a library brings, so that nobody needs to say where they are."""
