import numpy as np
import pytest
import torch

from clbench.data.image_set import make_image_set, to_floats
from clbench.data.splits import probe_training
from clbench.data.splits import training_files as split_files
from clbench.schema.errors import BadValueError, DataError, UnknownNameError


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


def training_files(dataset, paths, one_in=2):
    """Half for validation: of few images, too, the last part has all classes then."""
    return split_files(dataset, paths, one_in=one_in)


def joined(parts):
    """The images of both parts as [n, h, w, c] in 0..255, and the labels."""
    images = torch.cat([part.images for part in parts]).permute(0, 2, 3, 1)
    labels = torch.cat([part.labels for part in parts])
    return (images * 255).round().to(torch.uint8).numpy(), labels.tolist()


def test_files_are_joined_in_the_order_given_each_in_its_own_order(save_npz, save_parquet, encode):
    x = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    y = np.arange(12) % 3
    first = save_npz(x[:4], y[:4])
    second = save_parquet(img=[encode(picture) for picture in x[4:]], label=y[4:])
    found = joined(training_files("cifar10", [second, first]))
    assert np.array_equal(found[0], np.concatenate([x[4:], x[:4]]))
    assert found[1] == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("n", "n_classes", "n_validation"), [(100, 2, 2), (260, 2, 5), (1000, 10, 20), (2049, 3, 40)]
)
def test_the_last_fiftieth_is_validation_where_it_has_all_classes(
    save_npz, n, n_classes, n_validation
):
    x, y = np.zeros((n, 8, 8, 1), np.uint8), np.arange(n) % n_classes
    train, validation = split_files("digits", [save_npz(x, y)])
    assert (len(train), len(validation)) == (n - n_validation, n_validation)
    assert train.labels.tolist() + validation.labels.tolist() == y.tolist()
    assert (train.name, validation.name) == ("digits-train", "digits-validation")
    assert train.n_classes == validation.n_classes == 10


def _blocks(n, n_classes):
    return np.arange(n) * n_classes // n


ORDERS = {
    "sorted": _blocks(500, 10),
    "sorted, last class small": np.append(_blocks(490, 9), np.full(10, 9)),
    "sorted backwards": _blocks(500, 10)[::-1],
    "sorted, one class most of it": np.append(np.zeros(900, int), np.arange(1, 10).repeat(10)),
    "sorted twice": np.tile(_blocks(250, 10), 2),
    "sorted pairs of classes": _blocks(500, 5) * 2 + np.arange(500) % 2,
    "two classes": _blocks(300, 2),
    "a shuffled part, then a class": np.append(np.arange(400) % 10, np.full(100, 3)),
    "few images": np.arange(20) % 10,
    "four images": np.array([0, 0, 1, 1]),
    "a class of one": np.append(_blocks(100, 4), [9]),
    "the last of its class": np.append(np.arange(98) % 2, [2, 3]),
    "an absent class": _blocks(200, 2) * 7,
    "many classes": _blocks(1000, 10)[np.random.default_rng(0).permutation(1000)],
}


@pytest.mark.parametrize("labels", ORDERS.values(), ids=ORDERS)
def test_both_sides_have_every_class_however_a_file_is_sorted(save_npz, labels):
    x = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    train, validation = split_files("digits", [save_npz(x, labels)])
    counts = np.bincount(labels)
    both = {label for label, count in enumerate(counts.tolist()) if count > 1}
    assert set(validation.labels.tolist()) == both
    assert set(train.labels.tolist()) == set(labels.tolist())
    assert len(train) + len(validation) == len(labels)
    assert len(validation) <= len(labels) / 50 + len(counts)
    known = {one.tobytes() for one in (validation.images * 255).round().byte().numpy()}
    assert not known & {one.tobytes() for one in (train.images * 255).round().byte().numpy()}


@pytest.mark.parametrize("labels", [_blocks(5000, 10), _blocks(5000, 10)[::-1], _blocks(2000, 5)])
def test_the_first_validation_images_of_a_sorted_file_are_of_all_classes(save_npz, labels):
    x = np.zeros((len(labels), 8, 8, 1), np.uint8)
    _, validation = split_files("digits", [save_npz(x, labels)])
    n_classes = len(set(labels.tolist()))
    for n in (2 * n_classes, 3 * n_classes):
        assert validation.head(n).labels.bincount().tolist() == [n // n_classes] * n_classes


@pytest.mark.parametrize("n", [1, 2, 80, 5000])
@pytest.mark.parametrize("label", [0, 3, 9])
def test_files_of_a_single_class_are_refused(save_npz, n, label):
    x = np.zeros((n, 8, 8, 1), np.uint8)
    message = f"^training on digits needs images of two classes, got {n} of class {label} only; add"
    with pytest.raises(DataError, match=message):
        split_files("digits", [save_npz(x, np.full(n, label))])


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2], [0, 0, 0, 1], range(10)])
def test_too_few_images_to_train_and_to_validate_are_refused(save_npz, labels):
    x = np.zeros((len(labels), 8, 8, 1), np.uint8)
    message = "^training on digits needs two images of two classes at least, one of each to val"
    with pytest.raises(DataError, match=message):
        split_files("digits", [save_npz(x, list(labels))])


def test_bytes_and_floats_of_the_same_pictures_are_the_same_set(save_npz, pictures):
    x, y = pictures(6), np.arange(6) % 2
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
    train, validation = training_files("cifar10", paths, one_in=15)
    assert np.array_equal(joined([validation])[0], x[-10:])
    distance = torch.cdist(validation.images.flatten(1), train.images.flatten(1))
    assert float(distance.min()) > 4  # a compressed picture lies at most 1.3 from what it was


def test_a_picture_with_two_labels_is_kept_twice(save_npz, pictures):
    x = pictures(6)
    paths = [save_npz(x, np.zeros(6, int), "a.npz"), save_npz(x, np.ones(6, int), "b.npz")]
    assert sorted(joined(training_files("cifar10", paths))[1]) == [0] * 6 + [1] * 6


def test_what_one_file_holds_twice_stays(save_npz, pictures):
    x = np.concatenate([pictures(3), pictures(3)])
    assert len(joined(training_files("cifar10", [save_npz(x, np.arange(6) // 2)]))[1]) == 6


def test_one_file_given_twice_counts_once(save_npz, pictures):
    path = save_npz(pictures(8), np.arange(8) // 2)
    once, twice = (training_files("cifar10", [path] * times) for times in (1, 2))
    assert [part.sha256 for part in once] == [part.sha256 for part in twice]


@pytest.mark.parametrize("quality", [None, 90])
def test_grey_pictures_stay_grey_where_the_data_set_is(save_parquet, pictures, encode, quality):
    x = pictures(5, size=(8, 8))[..., 0]
    path = save_parquet(image=[encode(one, quality) for one in x], label=[0, 0, 1, 1, 1])
    train, validation = training_files("digits", [path])
    assert (train.images.shape, validation.images.shape) == ((3, 1, 8, 8), (2, 1, 8, 8))


def test_the_ending_of_a_file_may_be_in_capitals(save_npz, pictures):
    small = save_npz(pictures(4), [0, 1, 0, 1])
    path = small.rename(small.with_suffix(".NPZ"))
    assert len(training_files("cifar10", [path])[0]) == 2


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
    with pytest.raises(DataError, match=f"{name}' does not exist; check the path"):
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


# images that linear probes are fitted on


@pytest.mark.parametrize("n", [0, 1, 30])
def test_probes_are_not_fitted_on_what_they_are_scored_on(save_npz, caplog, n):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
    scored = rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    x[:n] = scored[:n]
    images = make_image_set("scored", to_floats(torch.from_numpy(scored).permute(0, 3, 1, 2)),
                            torch.arange(40) % 10, 10)  # fmt: skip
    train, validation = probe_training(images, None, files=[save_npz(x, np.arange(100) % 10)])
    assert (len(train), len(validation)) == (90 - n, 10)
    known = {one.numpy().tobytes() for one in images.images}
    assert not known & {one.numpy().tobytes() for one in train.images}
    notes = [record.getMessage() for record in caplog.records]
    said = (
        f"{n} of 90 training images are duplicates of the images that probes are scored on and were"
    )
    assert [note.startswith(said) for note in notes] == [True] * bool(n)
