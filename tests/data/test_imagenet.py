"""ImageNet's pictures as RobustBench takes them, on small files in the public layout."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

import clbench
from clbench.data.load import load_test_set
from clbench.data.readers.imagenet import Preprocessing
from clbench.interop.installed import robustbench_helper
from clbench.models.load import preprocessing_of
from clbench.schema.errors import BadValueError, DataError

SIZES = ((300, 260), (260, 300), (500, 375), (288, 288), (640, 290), (299, 400))
NAMES = ("Res256Crop224", "BicubicRes256Crop224", "Crop288", "Res224")


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A folder with all 5,000 names, behind which there are six pictures."""
    folder = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    made = []
    for number, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((width, height))
        picture = picture.convert("L") if number == 3 else picture
        made.append(folder / f"{number}.JPEG")
        picture.save(made[-1], "JPEG")
    for wnid in json.loads(robustbench_helper("imagenet_class_to_id_map.json")):
        (folder / "val" / wnid).mkdir(parents=True)
    for number, name in enumerate(robustbench_helper("imagenet_test_image_ids.txt").split()):
        os.link(made[number % len(made)], folder / "val" / name)
    return folder


@pytest.fixture(scope="module")
def theirs(public):
    """Return a function that gives the first examples as RobustBench reads them."""
    from clbench.interop import robustbench as interop

    assert interop.benchmark
    from robustbench.data import PREPROCESSINGS
    from robustbench.loaders import CustomImageFolder

    def read(name, n):
        found = CustomImageFolder(public / "val", PREPROCESSINGS[name])
        images, labels, _ = zip(*(found[place] for place in range(n)), strict=True)
        return torch.stack(images), torch.tensor(labels)

    return read


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_labels_are_robustbenchs(public, theirs, name):
    ours = load_test_set("imagenet", n_examples=12, data_dir=public, preprocessing=name)
    images, labels = theirs(name, 12)
    assert torch.equal(ours.images[:], images)
    assert torch.equal(ours.labels, labels)


def test_there_are_5000_and_their_classes_are_of_1000(public):
    found = load_test_set("imagenet", data_dir=public)
    assert (len(found), found.n_classes) == (5000, 1000)
    assert tuple(found.images.shape) == (5000, 3, 224, 224)
    assert found.index.tolist() == list(range(5000))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Res256Crop224", ("bilinear", 256, 224)),
        ("BicubicRes256Crop224", ("bicubic", 256, 224)),
        ("BicubicRes224Crop224", ("bicubic", 224, 224)),
        ("Crop288", ("bilinear", 0, 288)),
        ("Res224", ("bilinear", 224, 0)),
    ],
)
def test_a_preprocessing_is_read_from_its_name(name, expected):
    assert Preprocessing.of(name) == expected


@pytest.mark.parametrize("name", ["", "Bicubic", "Crop", "res224", "Res224 ", "Crop9999999999"])
def test_another_name_is_refused(name):
    with pytest.raises(BadValueError, match="must read like 'Res256Crop224', got"):
        Preprocessing.of(name)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("robustbench:Salman2020Do_R18", "Res256Crop224"),
        ("robustbench:Wong2020Fast", "Crop288"),
        ("robustbench:Liu2023Comprehensive_Swin-B", "BicubicRes256Crop224"),
        ("robustbench:Mo2022When_ViT-B", "Res224"),
        ("mine=robustbench:Wong2020Fast", "Crop288"),
        ("robustbench:Debenedetti2022Light_XCiT-S12", "BicubicRes224Crop224"),
        ("robustbench:corruptions/Geirhos2018_SIN", "Res256Crop224"),
        ("robustbench:Nobody", ""),
        ("timm:resnet18", ""),
        ("net.py:make", ""),
        (torch.nn.Identity(), ""),
    ],
)
def test_a_network_of_robustbench_sees_what_it_does_there(model, expected):
    assert preprocessing_of(model, "imagenet", "Linf") == expected
    assert preprocessing_of(model, "cifar10", "Linf") == ""


def test_every_preprocessing_of_the_zoo_is_one_that_we_know():
    from clbench.interop.robustbench import entries

    found = {one.preprocessing for one in entries() if one.dataset == "imagenet"}
    assert all(Preprocessing.of(name) for name in found)
    assert {one.preprocessing for one in entries() if one.dataset != "imagenet"} == {""}


def test_a_picture_that_is_not_there_is_named(public, tmp_path):
    with pytest.raises(DataError, match=r"holds no n\d+/ILSVRC2012_val_\d+.JPEG; give the right"):
        load_test_set("imagenet", data_dir=tmp_path)


def test_a_damaged_picture_is_named_when_it_is_read(public, tmp_path):
    (tmp_path / "val").symlink_to(public / "val")
    first = public / "val" / robustbench_helper("imagenet_test_image_ids.txt").split()[0]
    found = load_test_set("imagenet", n_examples=1, data_dir=tmp_path)
    first.rename(first.with_suffix(".aside"))
    first.write_bytes(b"<html>")
    try:
        with pytest.raises(DataError, match=r"holds no readable picture; unpack it again"):
            found.images[:1]
    finally:
        first.with_suffix(".aside").rename(first)


@pytest.mark.parametrize("options", [{}, {"download": True}])
def test_it_cannot_be_fetched(options):
    with pytest.raises(BadValueError, match=r"needs --data-dir, .* and cannot be fetched"):
        load_test_set("imagenet", **options)


def test_nobody_trains_on_it():
    from clbench.schema.errors import UnknownNameError

    with pytest.raises(UnknownNameError, match="unknown dataset 'imagenet'"):
        clbench.train("simclr_at", dataset="imagenet", out="run")


def test_a_network_of_the_zoo_is_evaluated_on_it(public, tmp_path, monkeypatch):
    from benchmarks.robustbench_zoo import random_weights
    from clbench.interop.robustbench import entry

    monkeypatch.chdir(tmp_path)
    with random_weights(entry("Salman2020Do_R18", "imagenet", "Linf")):
        done = clbench.evaluate(
            "robustbench:Salman2020Do_R18",
            protocol="imagenet-linf",
            data_dir=public,
            n_examples=4,
            attack="pgd,steps=1",
            probe=False,
        )
    assert done.record.data.name == "imagenet"
    assert done.record.threat_model.eps == "4/255"
    assert done.record.measure("clean_acc").n == 4
