"""The same images in every layout that people have are the same set, with the same names."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import clbench
from clbench.schema.errors import DataError

N, CLASSES = 200, ("bee", "cat", "dog", "elk", "fox")
FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}


@pytest.fixture(scope="module")
def pictures():
    """Images of five classes that take turns, as a folder of pictures has them."""
    pixels = torch.rand(N, 12, 9, 3, generator=torch.Generator().manual_seed(0))
    return (pixels * 255).round().to(torch.uint8).numpy(), np.arange(N) % len(CLASSES)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def table(images, labels, features=FEATURES):
    """Return a table as Hugging Face's library writes it."""
    rows = [{"bytes": png(image), "path": None} for image in images]
    made = pa.table({"image": rows, "label": pa.array(labels)})
    told = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return made.replace_schema_metadata(told)


def npz(folder, x, y):
    np.savez(folder / "some.npz", x=x, y=y)
    return folder / "some.npz"


def npy(folder, x, y):
    np.save(folder / "x_test.npy", x)
    np.save(folder / "y_test.npy", y)
    return folder / "x_test.npy"


def corrupted_cifar(folder, x, y):
    np.save(folder / "fog.npy", x)
    np.save(folder / "labels.npy", y)
    return folder / "fog.npy"


def parquet(folder, x, y):
    pq.write_table(table(x, y), folder / "some.parquet")
    return folder / "some.parquet"


def parquet_folder(folder, x, y):
    """Lay images out as a data set on Hugging Face's hub."""
    (folder / "README.md").write_text("a card")
    (folder / "data").mkdir()
    for part in range(3):
        rows = slice(70 * part, 70 * (part + 1))
        name = f"test-{part:05d}-of-00003.parquet"
        pq.write_table(table(x[rows], y[rows]), folder / "data" / name)
    return folder


def saved(folder, x, y):
    """Lay images out as ``datasets.Dataset.save_to_disk`` does."""
    names = [f"data-{part:05d}-of-00002.arrow" for part in range(2)]
    for part, name in enumerate(names):
        rows = table(x[120 * part : 120 * (part + 1)], y[120 * part : 120 * (part + 1)])
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, rows.schema) as out,
        ):
            out.write_table(rows, max_chunksize=50)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "test"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def class_folders(folder, x, y):
    for number, (image, label) in enumerate(zip(x, y, strict=True)):
        (folder / CLASSES[label]).mkdir(exist_ok=True)
        (folder / CLASSES[label] / f"{number:03d}.png").write_bytes(png(image))
    return folder


WITHOUT_NAMES = (npz, npy, corrupted_cifar)
WITH_NAMES = (parquet, parquet_folder, saved, class_folders)


@pytest.mark.parametrize("write", [*WITHOUT_NAMES, *WITH_NAMES], ids=lambda one: one.__name__)
@pytest.mark.parametrize("stored", [False, True], ids=["loaded", "read as needed"])
def test_every_layout_gives_the_same_images(tmp_path, monkeypatch, pictures, write, stored):
    expected = clbench.load_data((np.moveaxis(pictures[0], -1, 1), pictures[1]))
    if stored:
        monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
    found = clbench.load_data(write(tmp_path, *pictures))
    assert found.sha256 == expected.sha256
    assert found.class_names == (CLASSES if write in WITH_NAMES else ())
    assert found.n_classes == len(CLASSES)


def colours():
    """Return a network that asks for the mean of each colour, so that noise of its size decides."""
    network = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, len(CLASSES))
    )
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        network[2].weight.normal_()
        network[2].bias.copy_(-network[2].weight.sum(dim=1) / 2)
    return network.eval()


@pytest.fixture(scope="module")
def verdicts_from_memory(pictures):
    x, y = pictures
    return evaluated((np.moveaxis(x, -1, 1), y))


def evaluated(data):
    return clbench.evaluate(
        colours(), data=data, norm="Linf", eps="1/255", attack="pgd,steps=2", probe=False
    )


@pytest.mark.parametrize("write", [*WITHOUT_NAMES, *WITH_NAMES], ids=lambda one: one.__name__)
def test_every_layout_gives_the_same_verdicts(tmp_path, pictures, write, verdicts_from_memory):
    found, expected = evaluated(write(tmp_path, *pictures)), verdicts_from_memory
    assert found.record.data.sha256 == expected.record.data.sha256
    assert found.record.measures == expected.record.measures
    for verdicts in ("index", "label", "clean_pred", "adv_pred", "broken_by"):
        mine, theirs = (getattr(one.examples, verdicts) for one in (found, expected))
        assert mine.tolist() == theirs.tolist()
    robust, clean = (expected.record.measure(one).value for one in ("robust_acc", "clean_acc"))
    assert 0 < robust < clean


def test_what_there_is_in_words(tmp_path, pictures):
    found = clbench.load_data(npz(tmp_path, *pictures))
    assert found.summary == "200 images 9x12 rgb, 5 classes, 20 % each"
    few = found.select(torch.tensor([0, 1, 5]))
    assert few.summary == "3 images 9x12 rgb, 5 classes, 0 % to 67 % each"


def test_classes_that_no_example_shows_are_counted(tmp_path, pictures):
    x, _ = pictures
    pq.write_table(table(x, np.zeros(N, int)), tmp_path / "some.parquet")
    assert clbench.load_data(tmp_path / "some.parquet").n_classes == len(CLASSES)


@pytest.mark.parametrize("metadata", [{}, {"label": {}}, {"label": {"names": [1, 2]}}, [], None])
def test_what_is_no_list_of_names_gives_none(tmp_path, pictures, metadata):
    pq.write_table(table(*pictures, metadata), tmp_path / "some.parquet")
    assert clbench.load_data(tmp_path / "some.parquet").class_names == ()


def several_splits(folder, x, y):
    saved(folder, x, y)
    (folder / "state.json").unlink()
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')


def parquet_splits(folder, x, y):
    parquet_folder(folder, x, y)
    (folder / "data" / "test-00000-of-00003.parquet").rename(
        folder / "data" / "train-00000-of-00001.parquet"
    )


def without(name, write):
    def made(folder, x, y):
        write(folder, x, y)
        next(folder.rglob(name)).unlink()

    return made


def with_state(**content):
    def made(folder, x, y):
        saved(folder, x, y)
        (folder / "state.json").write_text(json.dumps(content))

    return made


def with_state_text(text):
    def made(folder, x, y):
        saved(folder, x, y)
        (folder / "state.json").write_text(text)

    return made


WRONG = {
    "several splits saved": (several_splits, "holds the splits train, test; give the folder of"),
    "several splits of parquet": (parquet_splits, "got files of test and train; give one file"),
    "a lost part of parquet": (
        without("test-00001-of-00003.parquet", parquet_folder),
        "lacks test-00001-of-00003.parquet; fetch all files",
    ),
    "a lost part that was saved": (without("data-00001*", saved), "does not exist, which state"),
    "files elsewhere": (
        with_state(_data_files=[{"filename": "../else/data.arrow"}]), "must name files beside it"
    ),
    "an absolute path": (
        with_state(_data_files=[{"filename": "/etc/passwd"}]), "must name files beside it"
    ),
    "no files": (with_state(), "must name files beside it, got"),
    "rows of another data set": (
        with_state(_data_files=[{"filename": "data-00000-of-00002.arrow"}],
                   _indices_data_files=[{"filename": "indices.arrow"}]),
        r"write it with flatten_indices\(\)",
    ),
    "no JSON": (with_state_text("{"), "is no readable JSON"),
    "a list": (with_state_text("[]"), "must be a table, got list"),
    "deep JSON": (with_state_text("[" * 100_000), "is no readable JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_folder_that_cannot_be_right_is_refused_in_one_line(tmp_path, pictures, case):
    write, says = WRONG[case]
    write(tmp_path, *pictures)
    with pytest.raises(DataError, match=says) as caught:
        clbench.load_data(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_of_a_saved_set_is_named(tmp_path, pictures):
    saved(tmp_path, *pictures)
    path = tmp_path / "data-00001-of-00002.arrow"
    whole = path.read_bytes()
    for content in (b"", whole[:100], b"x" * 100 + whole[100:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"data-00001-of-00002\.arrow"):
            clbench.load_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "has no labels beside it; write them"),
        (np.zeros(N - 1, int), "must be equally long, got 200 and 199"),
        (np.zeros((N, 5), int), r"must be \[n\], got shape \[200, 5\]"),
        (np.zeros(N), "must be integer, got float64"),
        (np.array([object()] * N), "file of plain numbers"),
    ],
)
def test_a_npy_file_wants_its_labels_beside_it(tmp_path, pictures, labels, says):
    np.save(tmp_path / "images.npy", pictures[0])
    if labels is not None:
        np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(DataError, match=says):
        clbench.load_data(tmp_path / "images.npy")


NPY_DAMAGES = {
    "cut off": lambda whole: whole[:-10],
    "nothing but its head": lambda whole: whole[:128],
    "a head that is no Python": lambda whole: whole.replace(b"{'descr'", b"{'descr(", 1),
    "a head that claims a thousand times as much": lambda whole: whole.replace(
        b"(200, 12, 9, 3)", b"(200000, 12, 9)", 1
    ),
    "a head of another version": lambda whole: whole[:6] + b"\x09\x09" + whole[8:],
}


@pytest.mark.parametrize("case", NPY_DAMAGES)
def test_a_damaged_npy_file_is_named(tmp_path, pictures, case):
    path = npy(tmp_path, *pictures)
    damaged = NPY_DAMAGES[case](path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"x_test.npy' is cut off"):
        clbench.load_data(path)
