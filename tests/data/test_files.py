"""One table of formats for every command; what files claim is checked before memory is taken."""

import io
import logging
import resource
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from clbench.data.interface import DatasetInfo
from clbench.data.load import load_file, load_images
from clbench.data.splits import training_files
from clbench.schema.errors import DataError

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8), np.arange(20) % 10


@pytest.fixture
def save(tmp_path):
    """Return a function that writes images and labels to a .npz file and gives its path."""

    def write(x, y=None, name="mine.npz"):
        np.savez(tmp_path / name, x=x, y=np.arange(len(x)) % 10 if y is None else y)
        return tmp_path / name

    return write


# formats


@pytest.mark.parametrize("name", ["mine.parquet", "mine.npz", "mine", "mine.dat"])
def test_pictures_are_read_by_their_content(save_parquet, encode, tmp_path, name):
    colour = RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    file = save_parquet("p.parquet", image=[encode(one) for one in colour], label=[2, 0, 1])
    file.rename(tmp_path / name)
    found = load_images(tmp_path / name)
    assert torch.equal(found.images, torch.tensor(colour).permute(0, 3, 1, 2) / 255)
    assert (found.labels.tolist(), found.n_classes, found.name) == ([2, 0, 1], 3, name)


def test_grey_pictures_stay_grey_and_become_colour_beside_others(save_parquet, encode):
    grey = RNG.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    colour = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    alone = load_images(
        save_parquet("g.parquet", image=[encode(one) for one in grey], label=[0, 1])
    )
    assert torch.equal(alone.images, torch.tensor(grey)[:, None] / 255)
    pictures = [encode(grey[0]), encode(colour)]
    mixed = load_images(save_parquet("m.parquet", image=pictures, label=[0, 1]))
    assert torch.equal(mixed.images[0], torch.tensor(grey[0]).expand(3, 8, 8) / 255)


@pytest.mark.parametrize("name", ["mine.npz", "mine", "mine.parquet"])
def test_training_and_evaluation_read_the_same_file(save, tmp_path, name):
    shutil.copy(save(X, Y, "x.npz"), tmp_path / name)
    evaluated = load_images(tmp_path / name)
    train, validation = training_files("digits", [tmp_path / name], one_in=10)
    assert torch.equal(torch.cat([train.images, validation.images]), evaluated.images)


@pytest.mark.parametrize("content", [b"", b"hello", b"x,y\n1,2", b"\x89HDF\r\n", b"\x1f\x8b"])
def test_another_format_is_one_line_that_names_those_that_are_read(tmp_path, content):
    (tmp_path / "mine.h5").write_bytes(content)
    with pytest.raises(DataError, match=r"no known format; --data takes a .npz .*, or a .parquet"):
        load_images(tmp_path / "mine.h5")


# what a .npz file claims


def npy(shape, kind="|u1", *, content=None):
    """Return an array as numpy writes it, with a header that claims any shape."""
    file = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + (bytes(64) if content is None else content)


def members(**named):
    def write(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in named.items():
                archive.writestr(f"{name}.npy", content)

    return write


def doubled(key):
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x.npy", npy((1, 8, 8, 1)))
            archive.writestr("y.npy", LABEL)
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(key, LABEL)

    return write


def two_spellings(file):
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x.npy", "x", "y.npy"):
            archive.writestr(name, npy((1, 8, 8, 1)))


def bomb(file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(npy((1 << 24, 8, 8, 1), content=b""))
            for _ in range(1 << 6):
                member.write(bytes(1 << 24))
        archive.writestr("y.npy", LABEL)


def small_size(file):
    """Write a member that unpacks to more than the archive says."""
    members(x=npy((1, 8, 8, 1), content=bytes(1 << 16)), y=LABEL)(file)
    data = file.read_bytes()
    there = (128 + (1 << 16)).to_bytes(4, "little")
    file.write_bytes(data.replace(there, (128 + 64).to_bytes(4, "little")))


LABEL = npy((1,), "<i8", content=bytes(8))
CLAIMS = {
    "50 GB of bytes": (members(x=npy((50_000_000, 32, 32, 1)), y=LABEL), r"claims \[50000000, 32"),
    "50 GB of floats": (members(x=npy((10**7, 36, 36, 1), "<f4"), y=LABEL), "51,840,000,000 bytes"),
    "more than there is": (members(x=npy((5, 8, 8, 1)), y=LABEL), r"320 bytes, but has 64; write"),
    "less than there is": (members(x=npy((1, 8, 4, 1)), y=LABEL), r"32 bytes, but has 64; write"),
    "labels of 8 TB": (members(x=npy((1, 8, 8, 1)), y=npy((10**12,), "<i8")), "in 'y', 8,000,000"),
    "a negative size": (members(x=npy((-1, 8, 8, 1)), y=LABEL), "claims|damaged"),
    "a size beyond 64 bits": (members(x=npy((10**30, 8, 8, 1)), y=LABEL), r"claims \[10{30}, 8"),
    "objects": (members(x=npy((1, 8, 8, 1), "|O"), y=LABEL), "no .npz file of plain numbers"),
    "a bomb": (bomb, r"unpacks from 1\.\d+ MB to 1.1 GB, as no images or weights do"),
    "images twice": (doubled("x.npy"), "holds 'x.npy' twice, so that nobody can say which"),
    "labels twice": (doubled("y.npy"), "holds 'y.npy' twice, so that nobody can say which"),
    "two spellings": (two_spellings, "holds 'x' twice"),
    "a size that is too small": (small_size, "mine.npz"),
    "an empty member": (members(x=b"", y=LABEL), "damaged"),
    "no header": (members(x=b"hello world", y=LABEL), "damaged"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_false_claims_are_one_line(tmp_path, case):
    write, message = CLAIMS[case]
    write(tmp_path / "mine.npz")
    with pytest.raises(DataError, match=message) as caught:
        load_images(tmp_path / "mine.npz")
    assert "\n" not in str(caught.value)


HUGE = ("50 GB of bytes", "a bomb", "labels of 8 TB")
READ_EACH = """
import os, resource, sys
from pathlib import Path
from clbench.data.load import load_images
for file in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try: load_images(Path(file))
    except Exception as error: print(type(error).__name__, end=" ")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def read_each(tmp_path_factory):
    """The error of each huge claim and what memory reading it took, in kB; each in its process."""
    files = [tmp_path_factory.mktemp("huge") / "mine.npz" for _ in HUGE]
    for case, file in zip(HUGE, files, strict=True):
        CLAIMS[case][0](file)
    done = subprocess.run(
        [sys.executable, "-c", READ_EACH, *files],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30)),
    )
    return dict(zip(HUGE, map(str.split, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("case", HUGE)
def test_no_memory_is_taken_for_them(read_each, case):
    kind, grown = read_each[case]
    assert kind == "DataError"
    assert int(grown) < 50_000  # kB


def test_more_pictures_than_memory_holds_are_evaluated_on_and_no_training_set(
    save_parquet, encode, monkeypatch
):
    picture = encode(np.zeros((8, 8, 3), np.uint8))
    file = save_parquet("p.parquet", image=[picture] * 40, label=[0] * 40)
    monkeypatch.setattr("clbench.runtime.archives.available_memory", lambda: 1 << 12)
    monkeypatch.setattr("clbench.runtime.archives._HARMLESS", 1 << 12)
    with pytest.raises(
        DataError, match=r"claims 7.68 kB of memory, 4.1 kB are free; give fewer im"
    ):
        training_files(DatasetInfo("mine", (3, 8, 8), 1, 40), [file])
    assert len(load_file(file)) == 40


@pytest.mark.parametrize(
    "write",
    [
        lambda file: np.savez_compressed(
            file, x=np.zeros((200, 32, 32, 3), np.uint8), y=Y[:1].repeat(200)
        ),
        lambda file: np.savez(file, x=X, y=Y, extra=np.zeros(1000), note="text"),
        lambda file: np.savez(file, x=np.asfortranarray(X), y=Y),
        lambda file: np.savez(file, x=X[::2], y=Y[::2].astype(">i2")),
    ],
    ids=["packed to a thousandth", "further arrays", "Fortran order", "big-endian"],
)
def test_ordinary_files_are_read(tmp_path, write, caplog):
    write(tmp_path / "mine.npz")
    assert len(load_images(tmp_path / "mine.npz")) > 0
    assert not caplog.records


# the scale of images


def inked(n=20, most=16):
    x = RNG.integers(0, most + 1, (n, 8, 8, 1))
    x[:, 3, 3] = most
    return x.astype(np.uint8)


OTHER_SCALES = {
    "0 to 16": (inked(), "got 16 as the brightest of 20 of 20; divide them by 16, as floats"),
    "0 to 1": (inked(most=1), "got 1 as the brightest of 20 of 20; divide them by 1, as floats"),
    "most reach 16": (np.concatenate([inked(16), inked(4, most=12)]), "brightest of 16 of 20"),
    "twice by 255": (X.clip(0, 255) / 255**2 * (255 / X.max()), "divide them by 255 once, not"),
}


@pytest.mark.parametrize("case", OTHER_SCALES)
def test_images_on_another_scale_are_refused(save, case):
    x, message = OTHER_SCALES[case]
    x = x if x.dtype == np.uint8 else np.where(x >= x.max() * 0.9, x.max(), x)
    with pytest.raises(DataError, match=message):
        load_images(save(x))
    with pytest.raises(DataError, match=message.replace("mine.npz", "arrays")):
        load_images((torch.tensor(x).permute(0, 3, 1, 2), torch.zeros(len(x), dtype=torch.int64)))


@pytest.mark.parametrize(
    ("scale", "shift", "hint"),
    [
        (255, 0, "divide them by 255"),
        (200, 0, "divide them by 255"),
        (16, 0, "divide them by 16"),
        (12, 0, "divide them by 16"),
        (2, -1, r"take \(x \+ 1\) / 2"),
        (5, -2.5, "undo their normalisation, which belongs into the network"),
    ],
)
def test_floats_outside_of_the_range_are_told_what_brings_them_in(save, scale, shift, hint):
    x = (X / X.max() * scale + shift).astype(np.float32)
    with pytest.raises(DataError, match=rf"must be in \[0, 1\], got values from .*; {hint}$"):
        load_images(save(x))


DIM = {
    "0 to 15": inked(most=15),
    "0 to 31": inked(most=31),
    "0 to 64": inked(most=64),
    "0 to 100": inked(most=100),
    "0 to 120": inked(most=120),
    "8 from 0 to 100": inked(8, most=100),
    "0 to 100, divided by 255": inked(most=100) / 255,
    "a few from 0 to 16": inked(4),
    "0 to 16, divided by 255": inked() / 255,
}


@pytest.mark.parametrize("case", DIM)
def test_images_on_a_scale_that_is_less_clear_are_told_of(save, case, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(load_images(save(DIM[case]))) == len(DIM[case])
    (said,) = caplog.messages
    assert said.endswith("taken as they are, dark")


def photographs(darkness, n=20):
    """Images whose brightest pixels differ, as those of photographs do."""
    light = np.random.default_rng(1).uniform(0.5, 1, (n, 1, 1, 1))
    return (np.random.default_rng(2).uniform(0, 255, (n, 8, 8, 1)) * light / darkness).astype(
        np.uint8
    )


ORDINARY = {
    "bright": X,
    "dim photographs": photographs(4),
    "dark photographs": photographs(10),
    "very dark photographs": photographs(15),
    "a few dark photographs": photographs(12, n=3),
    "a dim photograph": photographs(2.5, n=1),
    "two dim photographs": photographs(2.5, n=2),
    "8 dim photographs": photographs(2.5, n=8),
    "two black ones": np.zeros((2, 8, 8, 1), np.uint8),
    "black and white": (X > 127).astype(np.uint8) * 255,
    "half as bright": X // 2,
    "floats": X / 255,
    "dark floats": photographs(1) / 255 / 20,
    "black and white floats": (X > 127).astype(np.float32),
    "some black": np.concatenate([np.zeros_like(X[:10]), X[10:]]),
}


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_images_are_taken_without_a_word(save, case, caplog):
    assert len(load_images(save(ORDINARY[case]))) == len(ORDINARY[case])
    assert not caplog.records
