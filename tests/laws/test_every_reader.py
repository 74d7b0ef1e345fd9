"""Every reader keeps the laws of readers, and all formats give one hash."""

import hashlib
import pickle
from functools import partial
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from senseless.readers import write_npz
from torchvision.datasets import CIFAR10, CIFAR100

from clbench.data.datasets import DATASETS
from clbench.data.image_set import make_image_set, to_floats
from clbench.data.readers.folder import read_folder
from clbench.data.readers.npz import read_arrays
from clbench.data.readers.parquet import read_parquet
from clbench.testing.law import check, laws_for
from clbench.testing.readers import READER_LAWS, ReaderCase

SPLITS = ("train", "validation", "test")
ARCHIVES = {"cifar10": (CIFAR10, "labels"), "cifar100": (CIFAR100, "fine_labels")}


def write_floats(folder, images, labels):
    path = folder / "floats.npz"
    pixels = to_floats(images).permute(0, 2, 3, 1).numpy()
    np.savez(path, x=pixels, y=labels.numpy())
    return path


def write_parquet(folder, images, labels):
    path = folder / "images.parquet"
    table = {"image": [encoded(image) for image in images], "label": labels.tolist()}
    pq.write_table(pa.table(table), path)
    return path


def encoded(image):
    file = BytesIO()
    pixels = image.permute(1, 2, 0).numpy()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(file, "PNG")
    return file.getvalue()


def write_archive(name, folder, images, labels):
    """Write the images as the test file; training files hold other ones."""
    archive, key = ARCHIVES[name]
    (folder / archive.base_folder).mkdir()
    whole = images.flatten(1).numpy()
    for part, pixels in ((archive.test_list, whole), (archive.train_list, 255 - whole)):
        for file, _ in part:
            content = {"data": pixels, key: labels.tolist()}
            (folder / archive.base_folder / file).write_bytes(pickle.dumps(content))
    meta = {archive.meta["key"]: [str(k) for k in range(DATASETS[name].n_classes)]}
    (folder / archive.base_folder / archive.meta["filename"]).write_bytes(pickle.dumps(meta))
    return folder


def read_archive(name, folder, split="test"):
    """Read a split where the sums of these files are the published ones."""
    archive, _ = ARCHIVES[name]

    def md5(file):
        return hashlib.md5((folder / archive.base_folder / file).read_bytes()).hexdigest()

    with pytest.MonkeyPatch.context() as patch:
        for part in ("train_list", "test_list"):
            files = [file for file, _ in getattr(archive, part)]
            patch.setattr(archive, part, [[file, md5(file)] for file in files])
        patch.setattr(archive, "meta", archive.meta | {"md5": md5(archive.meta["filename"])})
        return DATASETS[name].reader(DATASETS[name], split, data_dir=folder, download=False)


def read_digits(split):
    return DATASETS["digits"].reader(DATASETS["digits"], split, data_dir=None, download=False)


def write_folder(folder, images, labels):
    """Write files whose names tell their place in the folder's own order, as class by class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(int(label))).mkdir(exist_ok=True)
        (folder / str(int(label)) / f"{number:02d}.png").write_bytes(encoded(image))
    return folder


def not_loaded(read):
    """Return a reader that takes no image into memory before it is asked for."""

    def read_from_the_disk(path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
            return read(path)

    return read_from_the_disk


TURNS = "classes take turns"
IN_TURNS = {"keeps_the_order": TURNS, "gives_the_same_sha256": TURNS}
FORMATS = [
    ReaderCase(name="npz", write=write_npz, read=read_arrays),
    ReaderCase(name="npz of floats", write=write_floats, read=read_arrays),
    ReaderCase(name="parquet", write=write_parquet, read=read_parquet),
    ReaderCase(name="folder", write=write_folder, read=read_folder, excused=IN_TURNS),
    ReaderCase(name="stored npz", write=write_npz, read=not_loaded(read_arrays)),
    ReaderCase(name="stored floats", write=write_floats, read=not_loaded(read_arrays)),
    ReaderCase(name="stored parquet", write=write_parquet, read=not_loaded(read_parquet)),
    ReaderCase(
        name="stored folder", write=write_folder, read=not_loaded(read_folder), excused=IN_TURNS
    ),
    *(
        ReaderCase(name=name, write=partial(write_archive, name), read=partial(read_archive, name))
        for name in ARCHIVES
    ),
]
GREY = [
    ReaderCase(name="grey npz", write=write_npz, read=read_arrays, shape=(1, 8, 8)),
    ReaderCase(
        name="grey parquet",
        write=write_parquet,
        read=partial(read_parquet, n_channels=1),
        shape=(1, 8, 8),
    ),
]
DIGITS = ReaderCase(name="digits", splits=lambda: {split: read_digits(split) for split in SPLITS})
LAWFUL = [
    pytest.param(case, law, id=f"{case.name}-{law}")
    for case in (*FORMATS, *GREY, DIGITS)
    for law in laws_for(READER_LAWS, case)
]


@pytest.mark.parametrize(("case", "law"), LAWFUL)
def test_every_reader_keeps_the_laws(case, law):
    check(READER_LAWS, case, [law])


@pytest.mark.parametrize("cases", [FORMATS, GREY], ids=["colour", "grey"])
def test_the_same_images_in_every_format_have_one_hash(cases):
    found = (case.read_back() for case in cases if "gives_the_same_sha256" not in case.exempt)
    hashes = {make_image_set("any", to_floats(x), labels, 3).sha256 for x, labels in found}
    assert len(hashes) == 1


@pytest.mark.parametrize("name", ARCHIVES)
def test_splits_of_an_archive_share_no_image(name, tmp_path):
    """The last tenth of the training files is validation, and no image is read twice."""
    case = next(case for case in FORMATS if case.name == name)
    images, labels = random_images(20)
    folder = case.write(tmp_path, images, labels)
    splits = ReaderCase(
        name=name, splits=lambda: {split: read_archive(name, folder, split) for split in SPLITS}
    )
    check(READER_LAWS, splits)


def random_images(n):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 3, 32, 32), generator=generator).to(torch.uint8)
    return images, torch.arange(n) % 3


def test_every_data_set_is_read_here():
    assert {*ARCHIVES, "digits"} == set(DATASETS)
