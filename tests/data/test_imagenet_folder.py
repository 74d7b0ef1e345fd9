"""ImageNet as it is published: pictures of all sizes in one folder, and a devkit beside."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import clbench
from clbench.data.load import load_test_set
from clbench.data.readers.imagenet import Preprocessing, read_pictures
from clbench.data.readers.imagenet_folder import META, TRUTH
from clbench.interop.installed import robustbench_helper
from clbench.schema.errors import DataError

SYNSETS = ("n02119789", "n01440764", "n03000684", "n02979186", "n07753592")
"""In the order of the devkit's numbers, which is not that of their names."""

NUMBERS = (3, 1, 2, 5, 4, 1, 2, 3)
"""Of the pictures; 2 of the devkit is the first synset, so label 0."""

LABELS = [3, 1, 0, 4, 2, 1, 0, 3]
SIZES = ((300, 260), (260, 300), (320, 256))


def write_meta(path, synsets=SYNSETS, narrower=("n00001740", "n00001930")):
    """Write a table of synsets as the devkit's: those with narrower ones come last."""
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("gloss", object)]
    kind += [("num_children", object)]
    rows = [(number + 1, one, "words", "gloss", 0) for number, one in enumerate(synsets)]
    rows += [(len(rows) + 1 + k, one, "words", "gloss", 2) for k, one in enumerate(narrower)]
    savemat(path, {"synsets": np.array(rows, dtype=kind)[:, None]})


def write_devkit(folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH).write_text("".join(f"{one}\n" for one in NUMBERS))
    write_meta(folder / META, **options)


def name_of(number):
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def write_pictures(folder, sizes=SIZES):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(1, len(NUMBERS) + 1):
        width, height = sizes[number % len(sizes)]
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(folder / name_of(number), "JPEG")


def in_val(root):
    write_pictures(root / "val")
    write_devkit(root / "ILSVRC2012_devkit_t12" / "data")
    return root


def devkit_in_the_root(root):
    write_pictures(root / "val")
    write_devkit(root)
    return root


def devkit_called_so(root):
    write_pictures(root / "val")
    write_devkit(root / "devkit" / "data")
    return root


def all_in_one(root):
    write_pictures(root)
    write_devkit(root)
    return root


def val_itself(root):
    return in_val(root) / "val"


def devkit_without_its_folder(root):
    write_pictures(root / "val")
    write_devkit(root / "ILSVRC2012_devkit_t12")
    return root


def other_files_beside(root):
    in_val(root)
    (root / "val" / ".DS_Store").write_bytes(b"")
    (root / "val" / "readme.txt").write_text("")
    return root


LAYOUTS = [in_val, devkit_in_the_root, devkit_called_so, all_in_one, val_itself]
LAYOUTS += [devkit_without_its_folder, other_files_beside]


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda one: one.__name__)
def test_the_devkits_numbers_become_those_of_networks(tmp_path, write, caplog):
    found = clbench.load_data(write(tmp_path))
    assert found.labels.tolist() == LABELS
    assert found.class_names == tuple(sorted(SYNSETS))
    assert tuple(found.images.shape) == (8, 3, 224, 224)
    assert "are of several sizes: resized to 256 (bilinear), the middle of 224x224" in caplog.text
    first = Preprocessing.of("Res256Crop224").apply(
        Image.open(next(tmp_path.rglob(name_of(1)))).convert("RGB")
    )
    expected = torch.tensor(np.asarray(first)).permute(2, 0, 1) / 255
    assert torch.equal(found.images[:1][0], expected)


def test_folders_of_synsets_are_the_same_pictures(tmp_path):
    flat = clbench.load_data(in_val(tmp_path / "flat"))
    root = tmp_path / "sorted"
    for number in range(1, len(NUMBERS) + 1):
        place = root / "val" / SYNSETS[NUMBERS[number - 1] - 1]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "flat" / "val" / name_of(number), place)
    (root / "train" / "n01440764").mkdir(parents=True)  # is no class beside val
    for given in (root, root / "val"):
        found = clbench.load_data(given)
        assert found.class_names == flat.class_names
        pairs = {
            (image.numpy().tobytes(), int(label))
            for one in (found, flat)
            for image, label in zip(one.images[:], one.labels, strict=True)
        }
        assert len(pairs) == len(NUMBERS)


@pytest.mark.parametrize("write", [in_val, all_in_one])
def test_pictures_of_one_size_are_taken_as_they_are(tmp_path, write):
    root = write(tmp_path)
    write_pictures(root / "val" if (root / "val").exists() else root, sizes=((48, 40),))
    assert tuple(clbench.load_data(root).images.shape) == (8, 3, 40, 48)


def test_pictures_are_decoded_as_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
    decoded = []
    real = Preprocessing.apply
    monkeypatch.setattr(
        Preprocessing, "apply", lambda self, one: decoded.append(1) or real(self, one)
    )
    found = clbench.load_data(in_val(tmp_path), n_examples=2)
    assert len(found) == 2
    assert len(decoded) <= 2  # for the hash


def test_some_of_the_pictures_are_known_by_their_numbers(tmp_path):
    root = in_val(tmp_path)
    for number in (1, 2, 5):
        (root / "val" / name_of(number)).unlink()
    assert clbench.load_data(root).labels.tolist() == [LABELS[k] for k in (2, 3, 5, 6, 7)]


def without(name):
    return lambda root: next(root.rglob(name)).unlink()


def rewritten(name, content):
    return lambda root: next(root.rglob(name)).write_bytes(content)


WRONG = {
    "no truth": (without(TRUTH), "without their classes; put ILSVRC2012_validation_ground_truth"),
    "no table": (without(META), "cannot be read as the devkit's table of synsets: FileNotFound"),
    "an empty truth": (rewritten(TRUTH, b""), "must hold a number a line; unpack it again"),
    "words in the truth": (rewritten(TRUTH, b"one\ntwo\n"), "must hold a number a line"),
    "a binary truth": (rewritten(TRUTH, b"\xff\xfe"), "cannot be read: UnicodeDecodeError"),
    "a short truth": (rewritten(TRUTH, b"1\n2\n"), "tell nothing of picture 3, and 2 pictures"),
    "a number of no class": (rewritten(TRUTH, b"9\n" * 8), "tell 9 of picture 1"),
    "an inner synset": (rewritten(TRUTH, b"6\n" * 8), "tell 6 of picture 1"),
    "a table of text": (rewritten(META, b"synsets"), "cannot be read as the devkit's table"),
    "an empty table": (rewritten(META, b""), "cannot be read as the devkit's table"),
    "another table": (
        lambda root: savemat(next(root.rglob(META)), {"other": [1]}),
        "cannot be read as the devkit's table of synsets: KeyError",
    ),
    "words for synsets": (
        lambda root: write_meta(next(root.rglob(META)), synsets=("cat", "dog")),
        "must tell the synset of each class",
    ),
    "no picture": (
        rewritten(name_of(3), b"<html>"), "ILSVRC2012_val_00000003.JPEG' holds no readable picture"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_right_is_one_line(tmp_path, case):
    damage, says = WRONG[case]
    damage(in_val(tmp_path))
    with pytest.raises(DataError) as caught:
        clbench.load_data(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_classes_one_of_which_is_val_is_none_of_it(tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (200, 9, 9)).save(tmp_path / name / "1.png")
    assert clbench.load_data(tmp_path).class_names == ("train", "val")


def test_folders_of_other_names_keep_refusing_several_sizes(tmp_path):
    for name, side in (("cat", 8), ("dog", 9)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (side, 8)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="must be of one size"):
        clbench.load_data(tmp_path)


@pytest.mark.parametrize("flat", [False, True], ids=["in folders of synsets", "in one folder"])
def test_robustbenchs_pictures_are_found_either_way(tmp_path, flat):
    ids = robustbench_helper("imagenet_test_image_ids.txt").split()
    picture = tmp_path / "one.JPEG"
    Image.new("RGB", (256, 300), (9, 99, 199)).save(picture, "JPEG")
    for one in ids:
        place = tmp_path / "val" / (one.rpartition("/")[2] if flat else one)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(picture)
    found = load_test_set("imagenet", n_examples=5, data_dir=tmp_path)
    usual = read_pictures(tmp_path / "val", "imagenet", Preprocessing.of("Res256Crop224"))
    assert torch.equal(found.labels, usual.labels[:5])
    assert len(set(usual.labels.tolist())) > 900
    if flat:
        (tmp_path / "val" / ids[7].rpartition("/")[2]).unlink()
        with pytest.raises(DataError, match=r"it holds no ILSVRC2012_val_\d+.JPEG; give the right"):
            load_test_set("imagenet", data_dir=tmp_path)
