from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from clbench.data.load import load_test_set, training_set
from clbench.data.readers import digits


def test_the_test_split_is_every_fifth_digit_in_order():
    pixels, labels = load_digits(return_X_y=True)
    image_set = load_test_set("digits")
    assert image_set.images.shape == (360, 1, 8, 8)
    assert image_set.images.view(360, 64).equal(torch.tensor(pixels[::5], dtype=torch.float32) / 16)
    assert image_set.labels.tolist() == labels[::5].tolist()
    assert image_set.n_classes == 10


def test_the_three_splits_are_disjoint_and_complete():
    pixels, labels = load_digits(return_X_y=True)
    parts = [load_test_set("digits"), *(training_set("digits", s) for s in ("train", "validation"))]
    assert [len(part) for part in parts] == [360, 1257, 180]
    index = [[], [], []]
    for i in range(len(labels)):
        index[0 if i % 5 == 0 else 2 if i % 10 == 1 else 1].append(i)
    for part, chosen in zip(parts, index, strict=True):
        expected = torch.tensor(pixels[chosen], dtype=torch.float32).view(-1, 1, 8, 8) / 16
        assert part.images.equal(expected)
        assert part.labels.tolist() == labels[chosen].tolist()


@pytest.mark.parametrize("kept", ["datasets/data/digits.csv.gz", "elsewhere"])
def test_they_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch, kept):
    monkeypatch.setattr(digits, "_FILE", Path(kept))
    pixels, labels = digits._pixels_and_labels()
    for found, expected in zip((pixels, labels), load_digits(return_X_y=True), strict=True):
        assert (found == expected).all()
        assert found.dtype == expected.dtype


def test_no_test_image_is_among_the_images_to_train_on():
    test = {image.numpy().tobytes() for image in load_test_set("digits").images}
    for split in ("train", "validation"):
        others = {image.numpy().tobytes() for image in training_set("digits", split).images}
        assert not test & others


def test_the_content_is_the_published_one():
    # a changed sum means that every published figure on digits is about other images
    assert load_test_set("digits").sha256.startswith("a59c278dd27a868c")
    assert training_set("digits", "train").name == "digits-train"
