from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.data.datasets import DATASETS
from clbench.data.load import load_file, load_images
from clbench.schema.errors import BadValueError, DataError
from clbench.testing.damage import cuts, flips

CIFAR_HEAD = Path(__file__).parents[2] / ".." / "shared" / "data" / "cifar10_test_head.npz"


@pytest.fixture
def save(tmp_path):
    """Return a function that writes arrays to a file and gives its path."""

    def write(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


def bytes_and_labels(n=5, shape=(4, 6, 3)):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 4


def test_bytes_are_read_as_numbers_from_0_to_1_with_channels_first(save):
    x, y = bytes_and_labels()
    image_set = load_file(save(x=x, y=y))
    assert image_set.images.shape == (5, 3, 4, 6)
    assert image_set.images.equal(torch.tensor(x).permute(0, 3, 1, 2) / 255)
    assert image_set.labels.tolist() == y.tolist()
    assert (image_set.name, image_set.n_classes) == ("mine.npz", 4)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2", "longdouble"])
def test_floats_are_taken_as_they_are(save, dtype):
    x, y = bytes_and_labels(shape=(4, 4, 1))
    floats = (x / 255).astype(dtype)
    image_set = load_file(save(x=floats, y=y))
    assert image_set.images.equal(torch.tensor(floats.astype(np.float32)).permute(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i4", "uint64", "int64"])
def test_labels_may_be_any_integers(save, dtype):
    x, y = bytes_and_labels()
    assert load_file(save(x=x, y=y.astype(dtype))).labels.tolist() == y.tolist()


def test_fewer_examples_do_not_change_the_number_of_classes(save):
    x, y = bytes_and_labels()
    image_set = load_file(save(x=x, y=y), 2)
    assert (len(image_set), image_set.n_classes) == (2, 4)
    assert load_file(save(x=x, y=y), 2, n_classes=10).n_classes == 10


def test_the_same_numbers_have_the_same_hash_however_they_are_stored(save, tmp_path):
    x, y = bytes_and_labels()
    plain = load_file(save(x=x, y=y))
    np.savez_compressed(tmp_path / "other.npz", x=x, y=y.astype(np.uint8), note="extra")
    assert load_file(tmp_path / "other.npz").sha256 == plain.sha256


@pytest.mark.skipif(not CIFAR_HEAD.is_file(), reason="the development data are not on this machine")
def test_the_head_of_the_cifar10_test_set_is_read():
    image_set = load_images(CIFAR_HEAD, n_classes=10)
    assert image_set.images.shape == (512, 3, 32, 32)
    assert image_set.name == "cifar10"
    assert image_set.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert 0.4 < float(image_set.images.mean()) < 0.55


def test_a_file_is_called_a_data_set_only_for_what_it_holds(save, monkeypatch):
    x, y = bytes_and_labels()
    file = save(x=x, y=y)
    known = load_file(file, 3)
    row = replace(DATASETS["cifar10"], known=(known.sha256,))
    monkeypatch.setitem(DATASETS, "cifar10", row)
    names = [load_images(file, n_examples=n).name for n in (2, 3, 4)]
    assert names == ["mine.npz", "cifar10", "mine.npz"]


def test_images_are_read_by_a_function_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "def read():\n"
        "    return np.full((3, 1, 4, 4), 255, dtype='uint8'), np.array([0, 1, 2])\n"
        "number = 3\n"
        "def wrong():\n"
        "    return 3\n"
    )
    found = load_images(f"{file}:read", n_examples=2)
    assert (found.name, len(found), float(found.images.min())) == ("mine.py:read", 2, 1.0)
    with pytest.raises(DataError, match=r"mine.py:number' must be a function .*, got int"):
        load_images(f"{file}:number")
    with pytest.raises(DataError, match=r"mine.py:wrong' did not return images and labels: Type"):
        load_images(f"{file}:wrong")


@pytest.mark.parametrize("n", [0, -1, 6])
def test_a_wrong_number_of_examples_says_how_many_there_are(save, n):
    x, y = bytes_and_labels()
    with pytest.raises(BadValueError, match=f"from 1 to 5, all that mine.npz has, got {n}"):
        load_file(save(x=x, y=y), n)


def filled(value, dtype="float32", shape=(5, 4, 4, 3)):
    return np.full(shape, value, dtype)


X, Y = bytes_and_labels()
WRONG = {
    "no y": ({"x": X}, r"has no array 'y', got x; it must hold x uint8 or float \[n, h, w, c\]"),
    "no x": ({"images": X, "y": Y}, "has no array 'x', got images, y; it must hold"),
    "empty file": ({}, "has no array 'x', got nothing; it must hold"),
    "integer images": (
        {"x": X.astype(int), "y": Y},
        "x of mine.npz must be uint8, or float .* got int64",
    ),
    "text": ({"x": np.array(["a"]), "y": Y}, "x of mine.npz must be uint8, or float .* got <U1"),
    "no channels": (
        {"x": X[..., 0], "y": Y},
        r"got shape \[5, 4, 6\]; grey images are \[n, h, w, 1\]",
    ),
    "flat": (
        {"x": X.reshape(5, -1), "y": Y},
        r"x of mine.npz must be \[n, h, w, c\], got shape \[5, 72\]$",
    ),
    "channels first": (
        {"x": X.transpose(0, 3, 1, 2), "y": Y},
        r"got shape \[5, 3, 4, 6\]; move the channels to the end",
    ),
    "one-hot": (
        {"x": X, "y": np.eye(10)[Y]},
        r"^y of mine.npz must be \[n\], got shape \[5, 10\]: take y.argmax\(1\)$",
    ),
    "one-hot whole numbers": (
        {"x": X, "y": np.eye(4, dtype=int)[Y % 4]},
        r"got shape \[5, 4\]: take y.argmax\(1\)$",
    ),
    "a column of labels": ({"x": X, "y": Y[:, None]}, r"got shape \[5, 1\]: take y\[:, 0\]$"),
    "no examples": ({"x": X[:0], "y": Y[:0]}, r"holds no images, got x of shape \[0, 4, 6, 3\]"),
    "no pixels": ({"x": X[:, :0], "y": Y}, r"holds no images, got x of shape \[5, 0, 6, 3\]"),
    "float labels": ({"x": X, "y": Y.astype(float)}, "y of mine.npz must be integer, got float64"),
    "truth values": ({"x": X, "y": Y > 1}, "y of mine.npz must be integer, got bool"),
    "short labels": ({"x": X, "y": Y[:3]}, "x and y of mine.npz must be equally long, got 5 and 3"),
    "no labels": ({"x": X, "y": Y[:0]}, "x and y of mine.npz must be equally long, got 5 and 0"),
    "negative label": (
        {"x": X, "y": Y - 1},
        "labels of mine.npz must be from 0 to 2, got -1 at example 0",
    ),
    "huge label": (
        {"x": X, "y": filled(2**64 - 1, "uint64", 5)},
        "y of mine.npz must be class numbers, got 18446744073709551615",
    ),
    "above 1": (
        {"x": filled(200.0), "y": Y},
        r"images of mine.npz must be in \[0, 1\], got values from 200 to 200; divide them by 255",
    ),
    "below 0": ({"x": filled(-0.25), "y": Y}, "got values from -0.25 to -0.25$"),
    "above float32": ({"x": filled(1e300, "float64"), "y": Y}, "got values from inf to inf"),
    "NaN": (
        {"x": filled(np.nan), "y": Y},
        "images of mine.npz must be numbers, got NaN in example 0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_refused_in_one_line(save, case):
    arrays, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        load_file(save(**arrays))
    assert "\n" not in str(caught.value)


def test_a_label_beyond_the_protocols_classes_is_refused(save):
    with pytest.raises(DataError, match="must be from 0 to 2, got 3 at example 3"):
        load_file(save(x=X, y=Y), n_classes=3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent.npz' does not exist; check the path"):
        load_file(tmp_path / "absent.npz")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"' is a folder; --data takes a .npz file with x uint8"):
        load_file(tmp_path)


def test_one_array_without_labels_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(DataError, match="has no labels beside it; write them"):
        load_file(tmp_path / "x.npy")


def test_a_file_that_may_not_be_opened_says_so(save, monkeypatch):
    path = save(x=X, y=Y)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may open everything
    with pytest.raises(DataError, match=r"cannot read '.*mine.npz': Permission denied"):
        load_file(path)


def test_pickled_objects_are_never_loaded(save):
    with pytest.raises(DataError, match=r"is cut off, damaged or no .npz file of plain numbers"):
        load_file(save(x=np.array([object()] * 5), y=Y))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"write it with numpy.savez"):
        load_file(path)


def sha256_or_message(path):
    try:
        return load_file(path).sha256
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_cut_or_altered_file_gives_one_line_or_the_right_arrays(tmp_path, write):
    path = tmp_path / "mine.npz"
    write(path, x=X, y=Y)
    whole, right = path.read_bytes(), sha256_or_message(path)
    outcomes = []
    for content in (*cuts(whole, 75), *(damaged for _, damaged in flips(whole, 75))):
        path.write_bytes(content)
        outcomes.append(sha256_or_message(path))
    messages = [outcome for outcome in outcomes if outcome != right]
    assert len(messages) > 75
    assert all("mine.npz" in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["images.pt", "images.pth", "images.npz"])
def test_a_file_of_torch_save_is_called_that_and_numpy_named(tmp_path, name, zipped):
    content = {"x": torch.zeros(2, 1, 8, 8), "y": torch.zeros(2)}
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError) as refused:
        load_file(tmp_path / name)
    said = "is a file of torch.save or pickle, of which nothing is run"
    if zipped or not name.endswith(".npz"):
        assert said in str(refused.value)
    assert str(refused.value).endswith("; write it with numpy.savez(path, x=images, y=labels)")


def test_one_hot_labels_in_memory_are_met_with_the_line_that_mends_them():
    images = np.zeros((3, 1, 8, 8), dtype=np.float32)
    for labels in (np.eye(3), torch.eye(3), np.eye(3).tolist(), np.eye(3, dtype=int)):
        with pytest.raises(DataError, match=r"got shape \[3, 3\]: take labels.argmax\(1\)$"):
            load_images((images, labels))
