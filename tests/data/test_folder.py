"""A folder of pictures, one folder for each class: what it gives, and what is wrong with one."""

import logging
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import clbench
from clbench.data.image_set import make_image_set
from clbench.data.load import load_images
from clbench.schema.errors import DataError

ON_DISK = pytest.mark.parametrize("most", [1 << 28, 0], ids=["in memory", "on the disk"])


@pytest.fixture
def make(tmp_path, pictures, encode):
    """Return a function that writes pictures at paths below a folder, and gives the folder."""

    def write(*paths):
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        for path, picture in zip(paths, pictures(len(paths) or 1), strict=False):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            quality = None if path.lower().endswith("png") else 90
            (folder / path).write_bytes(encode(picture, quality=quality))
        return folder

    return write


def pixels_of(folder, path):
    return torch.tensor(np.asarray(Image.open(folder / path))).permute(2, 0, 1) / 255


@ON_DISK
def test_classes_take_turns_each_in_the_order_of_its_files(make, monkeypatch, most):
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", most)
    folder = make("cat/b.png", "cat/a.jpg", "dog/x.PNG", "bee/1.jpeg", "cat/c/d.png")
    found = load_images(folder)
    order = ["bee/1.jpeg", "cat/a.jpg", "dog/x.PNG", "cat/b.png", "cat/c/d.png"]
    assert torch.equal(found.tensor(), torch.stack([pixels_of(folder, one) for one in order]))
    assert found.labels.tolist() == [0, 1, 2, 1, 1]
    assert (found.name, found.n_classes) == ("mine", 3)
    assert found.class_names == ("bee", "cat", "dog")


@ON_DISK
def test_the_hash_is_that_of_the_same_images_in_memory(make, monkeypatch, most):
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", most)
    found = load_images(make(*(f"{label}/{k}.png" for label in range(3) for k in range(4))))
    same = make_image_set("same", found.tensor(), found.labels, 3)
    assert (found.sha256, len(found)) == (same.sha256, 12)


@pytest.mark.parametrize("name", ["mine/", "mine/../mine", "."])
def test_a_folder_bears_its_own_name_however_it_is_reached(make, tmp_path, monkeypatch, name):
    folder = make("0/a.png", "1/b.png")
    monkeypatch.chdir(folder if name == "." else tmp_path)
    assert load_images(name).name == "mine"


def test_the_first_few_are_of_all_classes(make):
    folder = make(*(f"{label}/{k}.png" for label in "abcd" for k in range(3)))
    found = load_images(folder, n_examples=6)
    assert found.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert found.n_classes == 4


def test_folders_called_by_numbers_are_called_by_their_labels(make, caplog):
    found = load_images(make("7/a.png", "02/b.png", "100/c.png"))
    assert sorted(found.labels.tolist()) == [2, 7, 100]
    assert (found.n_classes, found.class_names) == (101, ())
    assert not caplog.records


def test_an_order_that_others_take_otherwise_is_told(make, caplog):
    with caplog.at_level(logging.WARNING):
        found = load_images(make(*(f"{label}/a.png" for label in range(11))))
    assert sorted(found.labels.tolist()) == list(range(11))
    assert "as ImageFolder of torchvision takes them, 10 would be class 2" in caplog.text


def test_grey_pictures_are_grey_where_all_are(tmp_path):
    for label in ("0", "1"):
        (tmp_path / "g" / label).mkdir(parents=True)
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(
            tmp_path / "g" / label / "a.png"
        )
    assert load_images(tmp_path / "g").images.shape == (2, 1, 8, 8)


ORDINARY = {
    "hidden files": [".DS_Store", "cat/.hidden.png", ".git/config", "cat/._a.png"],
    "notes beside the folders": ["README.md", "labels.csv", "LICENSE"],
    "notes beside the pictures": ["cat/notes.txt", "dog/Thumbs.db", "dog/boxes.json"],
    "an archive": ["cats.zip"],
}


@pytest.mark.parametrize("case", ORDINARY)
def test_what_is_no_picture_is_passed_over(make, case):
    folder = make("cat/a.png", "dog/b.png")
    for path in ORDINARY[case]:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"no picture")
    assert load_images(folder).labels.tolist() == [0, 1]


def bytes_of(picture, form, **how):
    file = BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


COLOUR = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
JPEG, PNG = bytes_of(COLOUR, "JPEG"), bytes_of(COLOUR, "PNG")
NO_PICTURE = "^cat/5.{} of mine holds no readable JPEG or PNG; take it out$"
WRONG = {
    "a JPEG that is cut off": ("cat/5.jpg", JPEG[:-200], NO_PICTURE.format("jpg")),
    "a PNG that is cut off": ("cat/5.png", PNG[:-200], NO_PICTURE.format("png")),
    "a PNG with altered pixels": (
        "cat/5.png",
        PNG[:200] + bytes(50) + PNG[250:],
        NO_PICTURE.format("png"),
    ),
    "text": ("cat/5.png", b"hello", NO_PICTURE.format("png")),
    "nothing": ("cat/5.jpeg", b"", NO_PICTURE.format("jpeg")),
    "a GIF called JPEG": ("cat/5.jpg", bytes_of(COLOUR, "GIF"), NO_PICTURE.format("jpg")),
    "a WebP": ("cat/5.webp", bytes_of(COLOUR, "WEBP"), "mine/cat/5.webp' is no JPEG or PNG; make"),
    "a BMP further down": (
        "cat/more/5.BMP",
        bytes_of(COLOUR, "BMP"),
        "mine/cat/more/5.BMP' is no JPEG or PNG; make it one, or take it out$",
    ),
    "16 bits": (
        "cat/5.png",
        bytes_of(Image.fromarray(np.zeros((32, 32), np.uint16)), "PNG"),
        "^cat/5.png of mine holds grey pixels of 16 bits; save them as 8 bits$",
    ),
    "another size": (
        "cat/5.png",
        bytes_of(COLOUR.resize((30, 32)), "PNG"),
        "^images of mine must be of one size, got 32x32 in cat/0.png and 30x32 in cat/5.png$",
    ),
    "a picture of no class": ("a.png", PNG, "must hold one folder of .* class, got a.png in none"),
    "a class without pictures": ("bird/x.txt", b"", "mine/bird' holds no pictures .*; take it out"),
}


@pytest.mark.parametrize("case", WRONG)
@ON_DISK
def test_a_wrong_file_in_the_middle_is_named_when_the_folder_is_read(make, monkeypatch, case, most):
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", most)
    path, content, message = WRONG[case]
    folder = make(*(f"{name}/{k}.png" for name in ("cat", "dog") for k in range(10) if k != 5))
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_images(folder)
    assert "\n" not in str(caught.value)


def test_two_folders_of_one_label_are_refused(make):
    with pytest.raises(DataError, match=r"two folders of .*mine' are of class 1; join them"):
        load_images(make("0/a.png", "1/b.png", "01/c.png"))


@pytest.mark.parametrize("content", [[], ["notes.txt"], [".hidden/a.png"]])
def test_a_folder_of_something_else_says_what_could_be_there(make, content):
    folder = make(*content)
    message = "is a folder; --data takes a .npz file .*, or a folder with one folder of pictures"
    with pytest.raises(DataError, match=message):
        load_images(folder)


def test_a_picture_that_goes_while_it_is_needed_is_named(make, monkeypatch):
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
    found = load_images(make("0/a.png", "1/b.png"))
    next((make() / "1").iterdir()).unlink()
    assert len(found.images[:1]) == 1
    with pytest.raises(DataError, match=r"cannot read '.*mine/1/b.png': No such file"):
        found.images[1:]


@pytest.mark.parametrize(
    ("classes", "outputs", "is_right"),
    [("ab", 2, True), ("ab", 3, False), ("abc", 2, False), ("02", 3, True), ("2", 10, True)],
)
def test_named_classes_are_as_many_as_the_network_has_outputs(make, classes, outputs, is_right):
    folder = make(*(f"{name}/{k}.png" for name in classes for k in range(2)))
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, outputs)).eval()
    given = {
        "data": folder,
        "attack": "pgd,steps=1",
        "norm": "Linf",
        "eps": "1/255",
        "probe": False,
    }
    if is_right:
        assert clbench.evaluate(network, **given).record.data.n == 2 * len(classes)
    else:
        with pytest.raises(DataError, match=rf"has {outputs} outputs"):
            clbench.evaluate(network, **given)
