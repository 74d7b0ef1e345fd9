import hashlib
import struct

import pytest
import torch

from clbench.data.image_set import count_examples, make_image_set, to_floats
from clbench.schema.errors import BadValueError, DataError


def make(n=6, n_classes=10, **changes):
    content = {
        "name": "set",
        "images": torch.rand(n, 3, 4, 4),
        "labels": torch.arange(n) % n_classes,
        "n_classes": n_classes,
    }
    return make_image_set(**content | changes)


def test_the_hash_is_that_of_shapes_labels_and_images():
    images = torch.rand(2, 1, 2, 2)
    content = b"[2, 1, 2, 2][2]" + struct.pack("<2q", 3, 1)
    content += struct.pack("<8f", *images.flatten().tolist())
    image_set = make(2, images=images, labels=torch.tensor([3, 1]))
    assert image_set.sha256 == hashlib.sha256(content).hexdigest()


def test_the_hash_does_not_depend_on_the_memory_layout():
    images = torch.rand(4, 3, 5, 5)
    plain = make(4, images=images)
    assert make(4, images=images.to(memory_format=torch.channels_last)).sha256 == plain.sha256
    assert make(4, images=images.double()).sha256 == plain.sha256
    assert make(4, images=images, labels=torch.arange(4, dtype=torch.int32)).sha256 == plain.sha256


@pytest.mark.parametrize("part", ["pixel", "label", "order"])
def test_the_hash_changes_with_the_content(part):
    images, labels = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 3])
    before = make(4, images=images, labels=labels).sha256
    images, labels = images.clone(), labels.clone()
    if part == "pixel":
        images[3, 0, 1, 1] = 1 - images[3, 0, 1, 1]
    elif part == "label":
        labels[0] = 5
    else:
        images = images.flip(0)
    assert make(4, images=images, labels=labels).sha256 != before


def test_the_head_is_a_set_of_its_own():
    image_set = make(6)
    head = image_set.head(2)
    assert len(head) == 2
    assert head.images.equal(image_set.images[:2])
    assert head.sha256 == make(2, images=image_set.images[:2], labels=image_set.labels[:2]).sha256
    assert image_set.head(6).sha256 == image_set.sha256


@pytest.mark.parametrize("n", [0, -1, 7])
def test_a_head_longer_than_the_set_or_empty_is_refused(n):
    with pytest.raises(
        BadValueError, match=f"n_examples must be from 1 to 6, all that set has, got {n}"
    ):
        make(6).head(n)


def test_none_counts_every_example():
    assert count_examples("set", None, available=6) == 6


def test_bytes_become_floats_as_torchvision_makes_them():
    from torchvision.transforms.functional import to_tensor

    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert to_floats(pixels)[0].equal(to_tensor(pixels[0, 0].numpy()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": torch.zeros(6, 4, 4)},
            r"set must have images \[n, c, h, w\] and labels \[n\], got \[6, 4, 4\] and \[6\]",
        ),
        ({"labels": torch.zeros(6, 1).long()}, r"got \[6, 3, 4, 4\] and \[6, 1\]"),
        ({"labels": torch.zeros(5).long()}, "set has 6 images but 5 labels"),
        (
            {"images": torch.zeros(0, 3, 4, 4), "labels": torch.zeros(0).long()},
            r"set holds no images, got shape \[0, 3, 4, 4\]",
        ),
        (
            {"images": torch.full((6, 3, 4, 4), -0.5)},
            r"must be in \[0, 1\], got values from -0.5 to -0.5$",
        ),
        (
            {"images": torch.full((6, 3, 4, 4), 255.0)},
            r"images of set must be in \[0, 1\], got values from 255 to 255; divide them by 255",
        ),
        ({"images": torch.full((6, 3, 4, 4), torch.inf)}, "got values from inf to inf$"),
        ({"labels": torch.tensor([0, 1, -1, 0, 0, 0])}, "must be from 0 to 9, got -1 at example 2"),
        ({"labels": torch.tensor([0, 1, 2, 0, 10, 0])}, "must be from 0 to 9, got 10 at example 4"),
    ],
)
def test_wrong_content_is_refused_in_one_line(changes, message):
    with pytest.raises(DataError, match=message) as caught:
        make(6, **changes)
    assert "\n" not in str(caught.value)


def test_the_first_example_with_a_nan_is_named():
    images = torch.zeros(6, 3, 4, 4)
    images[4, 1, 2, 2] = torch.nan
    with pytest.raises(DataError, match="images of set must be numbers, got NaN in example 4"):
        make(6, images=images)
