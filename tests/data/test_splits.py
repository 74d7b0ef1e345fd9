from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.data.splits import training_files
from clbench.schema.errors import BadValueError, DataError, UnknownNameError

REAL = Path(__file__).parents[3] / "shared" / "data"
COMPRESSED, EXACT = REAL / "cifar10_train_jpeg.parquet", REAL / "cifar10_train_head.npz"


@pytest.fixture
def save_npz(tmp_path):
    """Return a function that writes images and labels to a .npz file and gives its path."""

    def write(x, y, name="mine.npz"):
        np.savez(tmp_path / name, x=x, y=y)
        return tmp_path / name

    return write


@pytest.fixture
def save_jpegs(save_parquet, encode):
    """Return a function that writes pictures as JPEG to a parquet file and gives its path."""

    def write(x, y, name="mine.parquet", quality=75):
        return save_parquet(name, image=[encode(one, quality) for one in x], label=y)

    return write


def joined(parts):
    """The images of both parts as [n, h, w, c] in 0..255, and the labels."""
    images = torch.cat([part.images for part in parts]).permute(0, 2, 3, 1)
    labels = torch.cat([part.labels for part in parts])
    return (images * 255).round().to(torch.uint8).numpy(), labels.tolist()


def test_files_are_joined_in_the_order_given_each_in_its_own_order(save_npz, save_parquet, encode):
    x = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    y = np.arange(9)
    first = save_npz(x[:4], y[:4])
    second = save_parquet(img=[encode(picture) for picture in x[4:]], label=y[4:])
    found = joined(training_files("cifar10", [second, first]))
    assert np.array_equal(found[0], np.concatenate([x[4:], x[:4]]))
    assert found[1] == [4, 5, 6, 7, 8, 0, 1, 2, 3]


@pytest.mark.parametrize(("n", "n_validation"), [(2, 1), (99, 1), (100, 2), (260, 5)])
def test_the_last_fiftieth_is_validation(save_npz, n, n_validation):
    x, y = np.zeros((n, 8, 8, 1), np.uint8), np.arange(n) % 10
    train, validation = training_files("digits", [save_npz(x, y)])
    assert (len(train), len(validation)) == (n - n_validation, n_validation)
    assert train.labels.tolist() + validation.labels.tolist() == y.tolist()
    assert (train.name, validation.name) == ("digits-train", "digits-validation")
    assert train.n_classes == validation.n_classes == 10


def test_bytes_and_floats_of_the_same_pictures_are_the_same_set(save_npz, pictures):
    x, y = pictures(6), np.arange(6)
    of_bytes = training_files("cifar10", [save_npz(x, y)])
    of_floats = training_files("cifar10", [save_npz(x.astype(np.float32) / 255, y)])
    assert [part.sha256 for part in of_bytes] == [part.sha256 for part in of_floats]


def test_a_picture_compressed_again_is_taken_from_the_later_file(save_npz, save_jpegs, pictures):
    x, y = pictures(40), np.arange(40) % 4
    compressed = save_jpegs(x, y)
    exact = save_npz(x[10:30], y[10:30])
    images, labels = joined(training_files("cifar10", [compressed, exact]))
    assert np.array_equal(images[20:], x[10:30])
    assert labels == [*y[:10], *y[30:], *y[10:30]]


def test_a_later_file_wins_also_when_it_is_the_compressed_one(save_npz, save_jpegs, pictures):
    x, y = pictures(20), np.arange(20) % 4
    exact, compressed = save_npz(x, y), save_jpegs(x[5:], y[5:])
    images, labels = joined(training_files("cifar10", [exact, compressed]))
    assert labels == y.tolist()
    assert np.array_equal(images[:5], x[:5])
    assert not np.array_equal(images[5:], x[5:])


def test_floats_are_compared_with_bytes_in_grey_levels(save_npz, save_jpegs, pictures):
    x, y = pictures(20), np.arange(20) % 4
    paths = [save_jpegs(x, y), save_npz(x.astype(np.float32) / 255, y)]
    assert np.array_equal(joined(training_files("cifar10", paths))[0], x)


def test_no_training_image_is_a_validation_image_compressed(save_npz, save_jpegs, pictures):
    x, y = pictures(150), np.arange(150) % 10
    paths = [save_jpegs(x, y), save_npz(x[120:], y[120:])]
    train, validation = training_files("cifar10", paths)
    assert np.array_equal(joined([validation])[0], x[-3:])
    distance = torch.cdist(validation.images.flatten(1), train.images.flatten(1))
    assert float(distance.min()) > 4  # a compressed picture lies at most 1.3 from what it was


def test_a_picture_with_two_labels_is_kept_twice(save_npz, pictures):
    x = pictures(6)
    paths = [save_npz(x, np.zeros(6, int), "a.npz"), save_npz(x, np.ones(6, int), "b.npz")]
    assert joined(training_files("cifar10", paths))[1] == [0] * 6 + [1] * 6


def test_what_one_file_holds_twice_stays(save_npz, pictures):
    x = np.concatenate([pictures(3), pictures(3)])
    assert len(joined(training_files("cifar10", [save_npz(x, np.zeros(6, int))]))[1]) == 6


def test_one_file_given_twice_counts_once(save_npz, pictures):
    path = save_npz(pictures(8), np.arange(8))
    once, twice = (training_files("cifar10", [path] * times) for times in (1, 2))
    assert [part.sha256 for part in once] == [part.sha256 for part in twice]


@pytest.mark.parametrize("quality", [None, 90])
def test_grey_pictures_stay_grey_where_the_data_set_is(save_parquet, pictures, encode, quality):
    x = pictures(5, size=(8, 8))[..., 0]
    path = save_parquet(image=[encode(one, quality) for one in x], label=range(5))
    train, validation = training_files("digits", [path])
    assert (train.images.shape, validation.images.shape) == ((4, 1, 8, 8), (1, 1, 8, 8))


def test_the_ending_of_a_file_may_be_in_capitals(save_npz, pictures):
    small = save_npz(pictures(2), [0, 1])
    path = small.rename(small.with_suffix(".NPZ"))
    assert len(training_files("cifar10", [path])[0]) == 1


def test_an_unknown_data_set_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'cifar'; did you mean 'cifar10'"):
        training_files("cifar", [])


def test_no_file_at_all_is_refused():
    with pytest.raises(BadValueError, match="needs at least one, got none; add --data FILE"):
        training_files("cifar10", [])


@pytest.mark.parametrize("name", ["mine.csv", "mine"])
def test_a_file_of_no_known_format_is_refused(tmp_path, name):
    (tmp_path / name).write_text("1,2,3")
    with pytest.raises(DataError, match=rf"{name}' is of no known format; --data takes a .npz"):
        training_files("cifar10", [tmp_path / name])


@pytest.mark.parametrize("name", ["absent.npz", "absent.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}' does not exist; --data takes a "):
        training_files("cifar10", [tmp_path / name])


def test_images_of_another_shape_than_the_data_sets_are_refused(save_npz, save_jpegs, pictures):
    x, y = pictures(3, size=(28, 28)), [0, 1, 2]
    message = r"^images of {} must be \[3, 32, 32\] as those of cifar10, got \[{}, 28, 28\]$"
    with pytest.raises(DataError, match=message.format("mine.parquet", 3)):
        training_files("cifar10", [save_jpegs(x, y)])
    with pytest.raises(DataError, match=message.format("mine.npz", 1)):
        training_files("cifar10", [save_npz(x[..., :1], y)])


def test_labels_that_are_no_class_of_the_data_set_are_refused(save_npz, save_jpegs, pictures):
    message = "labels of mine.{} must be from 0 to 9, got {} at example 1"
    with pytest.raises(DataError, match=message.format("npz", 10)):
        training_files("cifar10", [save_npz(pictures(2), [0, 10])])
    with pytest.raises(DataError, match=message.format("parquet", -1)):
        training_files("cifar10", [save_jpegs(pictures(2), [0, -1])])


def test_floats_outside_0_to_1_are_refused_by_the_files_name(save_npz, pictures):
    x = pictures(2).astype(np.float32)
    with pytest.raises(DataError, match=r"images of mine.npz must be in \[0, 1\], got values"):
        training_files("cifar10", [save_npz(x, [0, 1])])


def test_one_image_is_too_few(save_npz, pictures):
    with pytest.raises(DataError, match="training on cifar10 needs at least 2 images, got 1"):
        training_files("cifar10", [save_npz(pictures(1), [0])])


@pytest.mark.slow
@pytest.mark.skipif(
    not (COMPRESSED.is_file() and EXACT.is_file()),
    reason="the development data are not on this machine",
)
def test_a_compressed_cifar10_and_a_part_of_the_exact_one_are_50000_pictures():
    train, validation = training_files("cifar10", [COMPRESSED, EXACT])
    assert (len(train), len(validation)) == (49_000, 1_000)
    with np.load(EXACT) as exact:
        x, y = exact["x"], exact["y"]
    images, labels = joined([train, validation])
    assert np.array_equal(images[-len(x) :], x)
    assert labels[-len(y) :] == y.tolist()
    assert torch.bincount(torch.tensor(labels)).tolist() == [5_000] * 10
