"""Images that are read when they are asked for are, in every way, those that lie in memory."""

import weakref
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.data.image_set import make_image_set
from clbench.data.load import load_images
from clbench.data.stored import Beside, StoredImages, in_memory, loaded_if_small, parts
from clbench.runtime.on_disk import RowFile
from clbench.schema.errors import DataError, StorageError
from clbench.schema.shard import Shard

N = 23
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 12, 10, 3), dtype=np.uint8)
LABELS = np.arange(N) % 4


def encoded(pixels, form):
    file = BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def npz(folder, save_parquet, x, write=np.savez):
    write(folder / "mine.npz", x=x, y=LABELS)
    return folder / "mine.npz"


def parquet(folder, save_parquet, form, pixels=PIXELS):
    return save_parquet(image=[encoded(one, form) for one in pixels], label=LABELS)


def folders(folder, save_parquet, form):
    for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / "mine" / str(label)).mkdir(parents=True, exist_ok=True)
        path = folder / "mine" / str(label) / f"{number:02d}.{form.lower()}"
        path.write_bytes(encoded(pixels, form))
    return folder / "mine"


def mapped(folder, save_parquet, x):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r"), LABELS


def part_of_mapped(folder, save_parquet):
    np.save(folder / "x.npy", np.concatenate([PIXELS, PIXELS]).transpose(0, 3, 1, 2))
    return np.load(folder / "x.npy", mmap_mode="r")[N // 2 : N // 2 + N], LABELS


FLOATS = PIXELS / 255
FORMATS = {
    "npz": (npz, PIXELS),
    "npz of floats": (npz, FLOATS.astype("f4")),
    "npz of doubles": (npz, FLOATS),
    "npz of halves": (npz, FLOATS.astype("f2")),
    "npz of another byte order": (npz, FLOATS.astype(">f4")),
    "npz in Fortran's order": (npz, np.asfortranarray(PIXELS)),
    "npz, grey": (npz, PIXELS[..., :1]),
    "compressed npz": (npz, PIXELS, np.savez_compressed),
    "parquet of PNG": (parquet, "PNG"),
    "parquet of JPEG": (parquet, "JPEG"),
    "parquet, grey": (parquet, "PNG", PIXELS[..., 0]),
    "folder of PNG": (folders, "PNG"),
    "folder of JPEG": (folders, "JPEG"),
    "mapped bytes": (mapped, PIXELS.transpose(0, 3, 1, 2)),
    "mapped floats": (mapped, FLOATS.transpose(0, 3, 1, 2).astype("f4")),
    "mapped, another byte order": (mapped, FLOATS.transpose(0, 3, 1, 2).astype(">f8")),
    "mapped whole numbers": (mapped, PIXELS.transpose(0, 3, 1, 2).astype("i4")),
    "part of what is mapped": (part_of_mapped,),
}
IN_MEMORY_ANYWAY = ("npz in Fortran's order", "compressed npz")


@pytest.fixture(params=FORMATS)
def both(request, tmp_path, save_parquet, monkeypatch):
    """The same images, in memory and read as they are needed."""
    write, *how = FORMATS[request.param]
    data = write(tmp_path, save_parquet, *how)
    kept = load_images(data)
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
    monkeypatch.setattr("clbench.data.stored._PART", 4 * 12 * 10 * 3 * 5)  # five images
    read = load_images(data)
    is_read = isinstance(read.images, StoredImages)
    assert is_read is (request.param not in IN_MEMORY_ANYWAY)
    return kept, read


def test_they_are_the_same_images_labels_and_hashes(both):
    kept, read = both
    assert torch.equal(read.tensor(), kept.images)
    assert torch.equal(read.labels, kept.labels)
    assert (read.id, read.whole, read.n_classes) == (kept.id, kept.whole, kept.n_classes)


def test_any_part_of_them_is_the_same(both):
    kept, read = both
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    wheres = [slice(3, 9), slice(0, 0), slice(20, 90), order, order[:1], torch.arange(N) % 3 == 0]
    for where in wheres:
        found = read.images[where]
        assert torch.equal(found, kept.images[where])
        assert found.dtype == torch.float32
        assert found.is_contiguous()
    for size in (1, 4, N, 100, None):
        assert torch.equal(torch.cat(list(parts(read.images, size))), kept.images)


def test_sets_made_of_them_are_the_same(both):
    kept, read = both
    some = torch.tensor([9, 2, 22])
    for make in (
        lambda one: one.head(7),
        lambda one: one.select(some),
        lambda one: one.part(some),
        lambda one: one.shard(Shard(2, 3)),
        lambda one: one.shard(Shard(0, 2)).select(torch.tensor([4, 1])),
        lambda one: one.at_most(5),
        lambda one: one.named("other"),
    ):
        mine, theirs = make(read), make(kept)
        assert torch.equal(mine.tensor(), theirs.tensor())
        assert (mine.id, mine.whole) == (theirs.id, theirs.whole)
        assert torch.equal(mine.index, theirs.index)


def counting(images):
    """Return stored images that count how many of them are alive at once, and at most."""
    alive = {"now": 0, "most": 0, "read": 0}

    def gone(n):
        alive["now"] -= n

    def read(places):
        found = images[places]
        alive["now"] += len(places)
        alive["read"] += len(places)
        alive["most"] = max(alive["most"], alive["now"])
        weakref.finalize(found, gone, len(places))
        return found

    n, *size = images.shape
    return StoredImages.of(n, tuple(size), images.dtype, read), alive


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_set_is_checked_and_hashed_with_few_of_them_in_memory(monkeypatch, dtype):
    monkeypatch.setattr("clbench.data.stored._PART", 4 * 3 * 8 * 8 * 10)  # ten images
    images = torch.randint(0, 256, (400, 3, 8, 8)).to(torch.uint8)
    images = images if dtype == "uint8" else images / 255
    stored, alive = counting(images)
    made = make_image_set("many", stored, torch.arange(400) % 3, 3)
    assert alive["most"] <= 20
    before = alive["read"]
    shard = made.shard(Shard(1, 4)).part(torch.arange(50)).named("half a shard")
    made.head(0 + 400)
    assert alive["read"] == before + 400  # of a set of its own, the hash
    assert shard.sha256 == made.select(torch.arange(1, 200, 4)).sha256


def test_small_ones_are_in_memory_and_large_ones_are_not(monkeypatch):
    stored, _ = counting(torch.rand(10, 1, 4, 4))
    assert isinstance(loaded_if_small(stored), torch.Tensor)
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 4 * 159)
    assert loaded_if_small(stored) is stored
    assert torch.equal(in_memory(stored), stored[:10])


def test_pixels_out_of_range_are_found_part_by_part(monkeypatch):
    monkeypatch.setattr("clbench.data.stored._PART", 4 * 16 * 3)
    for value, message in ((2.0, r"values from .* to 2"), (torch.nan, "got NaN in example 7")):
        images = torch.rand(10, 1, 4, 4)
        images[7, 0, 2, 2] = value
        stored, _ = counting(images)
        with pytest.raises(DataError, match=message):
            make_image_set("wrong", stored, torch.zeros(10, dtype=torch.int64), 1)


# what is kept beside them


@pytest.mark.parametrize("kind", ["in memory", "on the disk"])
def test_room_beside_images_is_of_their_kind(tmp_path, kind):
    images = torch.rand(9, 3, 5, 5)
    beside = Beside(images if kind == "in memory" else counting(images)[0], tmp_path)
    others = torch.rand(9, 3, 5, 5)
    for where in (torch.tensor([8, 0]), torch.arange(1, 8)):
        beside.put(where, others[where])
    assert isinstance(beside.images, torch.Tensor) is (kind == "in memory")
    assert torch.equal(in_memory(beside.images), others)
    assert torch.equal(beside.images[torch.tensor([3, 8])], others[[3, 8]])
    assert not list(tmp_path.iterdir())  # it has no name


def test_rows_of_a_file_stay_where_they_were_written(tmp_path):
    rows = RowFile.at(tmp_path / "new" / "rows", (2, 3), "float32")
    rows.reserve(5)
    rows.write([4, 1], np.arange(12, dtype="f8").reshape(2, 2, 3))
    rows.sync()
    again = RowFile.at(tmp_path / "new" / "rows", (2, 3), "float32")
    assert again.read([1, 4, 0]).tolist() == [
        [[6, 7, 8], [9, 10, 11]],
        [[0, 1, 2], [3, 4, 5]],
        [[0] * 3] * 2,
    ]
    assert np.array_equal(again.mapped(5)[1], again.read([1])[0])


def test_a_file_that_is_cut_off_meanwhile_is_one_line(tmp_path):
    rows = RowFile.at(tmp_path / "rows", (2,), "float32")
    rows.write([0, 1], np.ones((2, 2)))
    rows.sync()
    with (tmp_path / "rows").open("r+b") as file:
        file.truncate(12)
    assert rows.read([0]).tolist() == [[1, 1]]
    with pytest.raises(
        StorageError, match=r"rows was cut off after it was opened; run the command"
    ):
        rows.read([0, 1])


def test_no_room_for_a_file_is_one_line(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write into .*absent: No such file"):
        RowFile.temporary((2,), "float32", tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/rows: .*; free some space"):
        RowFile.at(tmp_path / "file" / "rows", (2,), "float32")
    full = RowFile.at(tmp_path / "full", (2,), "float32")
    full._file = open("/dev/full", "r+b", buffering=0)  # noqa: PTH123, SIM115 - closed below
    with full._file, pytest.raises(StorageError, match=r"cannot write .*No space left on device"):
        full.write([0], np.ones((1, 2)))
