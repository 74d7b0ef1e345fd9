"""Senseless readers of a .npz file, and senseless splits."""

import numpy as np
import torch

from clbench.data.image_set import to_floats
from clbench.data.interface import Examples
from clbench.data.readers.npz import read_arrays
from clbench.data.stored import StoredImages
from clbench.testing.readers import ReaderCase


def write_npz(folder, images, labels):
    path = folder / "images.npz"
    np.savez(path, x=images.permute(0, 2, 3, 1).numpy(), y=labels.numpy())
    return path


def shuffled_labels(path):
    images, labels = read_arrays(path)
    return Examples(images, labels.roll(1))


def shuffled_images(path):
    images, labels = read_arrays(path)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return Examples(images[order], labels[order])


def floats_up_to_255(path):
    images, labels = read_arrays(path)
    return Examples(images.float(), labels)


def divided_twice(path):
    images, labels = read_arrays(path)
    return Examples(to_floats(images) / 255, labels)


def blue_green_red(path):
    images, labels = read_arrays(path)
    return Examples(images.flip(1), labels)


def rounded(path):
    images, labels = read_arrays(path)
    return Examples((to_floats(images) * 15).round() / 15, labels)


def in_their_own_order(path):
    """Gives what is asked for, in the order in which it lies in the file."""
    images, labels = read_arrays(path)
    n, *size = images.shape
    of = (n, tuple(size), images.dtype)
    return Examples(StoredImages.of(*of, lambda places: images[sorted(places)]), labels)


def a_test_image_in_training():
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(20, dtype=torch.int64)
    return {"test": Examples(images[:10], labels[:10]), "train": Examples(images[9:], labels[9:])}


def case_of(name, read):
    return ReaderCase(name=name, write=write_npz, read=read)


SAME = "gives_the_same_sha256"
ROWS = [
    (case_of("shuffled labels", shuffled_labels), "labels_stay_with_their_images", SAME),
    (case_of("shuffled images", shuffled_images), "keeps_the_order", SAME),
    (case_of("0..255 floats", floats_up_to_255), "pixels_are_in_range", SAME),
    (case_of("divided twice", divided_twice), "pixels_are_in_range", SAME),
    (case_of("blue, green, red", blue_green_red), "keeps_the_channels", SAME),
    (case_of("rounded", rounded), SAME),
    (case_of("in their own order", in_their_own_order), "parts_are_as_the_whole"),
    (
        ReaderCase(name="a test image in training", splits=a_test_image_in_training),
        "splits_share_no_image",
    ),
]
"""Cases, each with the laws that it breaks."""
