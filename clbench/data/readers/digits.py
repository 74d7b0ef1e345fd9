"""Handwritten digits that come with scikit-learn: real images without any download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from clbench.data.interface import DatasetInfo, Examples, Split

INK_MAX = 16
"""Pixels count the dark points of a 4x4 square; the source bitmaps are 32x32."""

_FILE = Path("datasets", "data", "digits.csv.gz")
"""Where scikit-learn keeps them: a line for each, its 64 pixels and then its label."""


def read_digits(
    info: DatasetInfo, split: Split, *, data_dir: Path | None, download: bool
) -> Examples:
    """Return one split of the 1,797 digits, in scikit-learn's order.

    Example i is test when i % 5 == 0 (360), validation when i % 10 == 1 (180), else training
    (1,257). The images are in the package: ``data_dir`` and ``download`` change nothing.

    Source:
        Alpaydin and Kaynak, 1998, UCI repository, doi:10.24432/C50P49, the test part.
    """
    del info, data_dir, download
    pixels, labels = _pixels_and_labels()
    index = torch.arange(len(labels))
    chosen = {
        "test": index % 5 == 0,
        "validation": index % 10 == 1,
        "train": (index % 5 != 0) & (index % 10 != 1),
    }[split]
    images = torch.from_numpy(pixels).to(torch.float32).view(-1, 1, 8, 8) / INK_MAX
    return Examples(images[chosen], torch.from_numpy(labels).to(torch.int64)[chosen])


def _pixels_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return what scikit-learn's ``load_digits`` does, [n, 64] and [n].

    Importing that takes a second, its file does not; a release that keeps it elsewhere is asked.
    """
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / _FILE if package else _FILE
    if not file.is_file():
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        return pixels, labels
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
