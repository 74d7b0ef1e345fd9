"""Small archives in the public layout, which torchvision checks as it checks the real ones.

And small files of pictures, as users have them.
"""

import hashlib
import pickle
import tarfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100


class Archive(NamedTuple):
    """An archive on disk: where it lies, and what was written into its train and test files."""

    root: Path
    folder: Path
    train: list
    test: list

    @property
    def pixels(self):
        return np.concatenate([data for data, _ in self.train]).reshape(-1, 3, 32, 32)

    @property
    def labels(self):
        return [label for _, labels in self.train for label in labels]


def _random_part(rng, n, n_classes):
    pixels = rng.integers(0, 256, (n, 3 * 32 * 32), dtype=np.uint8)
    return pixels, rng.integers(0, n_classes, n).tolist()


def _write(path, content):
    """Pickle ``content`` and return the md5 of the file."""
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def _write_archive(monkeypatch, root, reader, *, label_key, n_classes, n_per_file):
    """Write the files that ``reader`` reads, and publish their md5 in its lists.

    Only the published sums are exchanged: reading and checking them stays torchvision's own work.
    """
    rng = np.random.default_rng(0)
    folder = root / reader.base_folder
    folder.mkdir(parents=True)
    written = {"train_list": [], "test_list": []}
    for published, parts in written.items():
        sums = []
        for file, _ in getattr(reader, published):
            pixels, labels = _random_part(rng, n_per_file, n_classes)
            sums.append([file, _write(folder / file, {"data": pixels, label_key: labels})])
            parts.append((pixels, labels))
        monkeypatch.setattr(reader, published, sums)
    names = {reader.meta["key"]: [f"class {k}" for k in range(n_classes)]}
    md5 = _write(folder / reader.meta["filename"], names)
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5})
    return Archive(root, folder, written["train_list"], written["test_list"])


@pytest.fixture
def cifar10(monkeypatch, tmp_path):
    """A CIFAR-10 of five training files and one test file with 20 images each."""
    return _write_archive(
        monkeypatch, tmp_path / "c10", CIFAR10, label_key="labels", n_classes=10, n_per_file=20
    )


@pytest.fixture
def cifar100(monkeypatch, tmp_path):
    """A CIFAR-100 of one training file and one test file with 20 images each."""
    return _write_archive(
        monkeypatch,
        tmp_path / "c100",
        CIFAR100,
        label_key="fine_labels",
        n_classes=100,
        n_per_file=20,
    )


@pytest.fixture
def packed(cifar10, monkeypatch):
    """The small CIFAR-10 as the one compressed file that is downloaded; nothing is unpacked yet."""
    path = cifar10.root / CIFAR10.filename
    with tarfile.open(path, "w:gz") as archive:
        archive.add(cifar10.folder, arcname=CIFAR10.base_folder)
    for file in cifar10.folder.iterdir():
        file.unlink()
    cifar10.folder.rmdir()
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return cifar10


@pytest.fixture
def pictures():
    """Return a function that makes smooth random pictures, uint8 [n, 32, 32, 3].

    No two are alike: thumbnails are some 25 grey levels apart, or more.
    """

    def make(n, *, seed=0, size=(32, 32)):
        coarse = np.random.default_rng(seed).integers(64, 192, (n, 5, 5, 3), dtype=np.uint8)
        return np.stack([np.asarray(Image.fromarray(one).resize(size)) for one in coarse])

    return make


@pytest.fixture
def encode():
    """Return a function that makes the bytes of a PNG, or of a JPEG of some quality."""

    def make(picture, quality=None):
        file = BytesIO()
        how = {"format": "PNG"} if quality is None else {"format": "JPEG", "quality": quality}
        Image.fromarray(picture).save(file, **how)
        return file.getvalue()

    return make


@pytest.fixture
def save_parquet(tmp_path):
    """Return a function that writes columns to a parquet file and gives its path."""

    def write(name="mine.parquet", **columns):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write
