"""Networks on corrupted images, on small files in the public layouts."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import clbench
from clbench.data.image_set import make_image_set
from clbench.data.readers.corruptions import read_corrupted
from clbench.evaluation.corrupted_record import evaluate_corrupted
from clbench.evaluation.corruptions import read_baseline
from clbench.interop.installed import robustbench_helper
from clbench.leaderboard import table
from clbench.leaderboard.check import check
from clbench.leaderboard.export.about import About, Paper
from clbench.leaderboard.export.robustbench import export
from clbench.models.interface import LoadedModel
from clbench.models.load import of_threat_model
from clbench.schema.corruptions import COMMON, CORRUPTED, IN_3D, SEVERITIES
from clbench.schema.errors import BadValueError, ClbenchError, DataError
from clbench.schema.estimate import mean_of
from clbench.schema.record_files import read_record

N_ALL, N = 20, 12
CIFAR10C = CORRUPTED["cifar10-c"]
LABELS = np.arange(N_ALL) % 10


class Brightest(nn.Module):
    """Says which of ten columns of pixels is the brightest."""

    def forward(self, images):
        return images.mean(dim=(1, 2))[:, :30].reshape(len(images), 10, 3).mean(dim=2) * 20


def clean_pixels():
    """Return images whose column of their label is bright."""
    x = np.full((N_ALL, 32, 32, 3), 60, dtype=np.uint8)
    for place, label in enumerate(LABELS):
        x[place, :, 3 * label : 3 * label + 3] = 160
    return x


def corrupted_pixels(place, severity):
    """Return them with noise that grows with the severity and with the corruption's number."""
    rng = np.random.default_rng(place)
    spread = rng.normal(0, 3 * severity * (1 + place), (N_ALL, 1, 32, 1))
    return np.clip(clean_pixels() + spread, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder with a set in CIFAR's layout, 20 images instead of 10,000."""
    at = tmp_path / "data" / "CIFAR-10-C"
    at.mkdir(parents=True)
    for place, name in enumerate(COMMON):
        blocks = [corrupted_pixels(place, severity) for severity in SEVERITIES]
        np.save(at / f"{name}.npy", np.concatenate(blocks))
    np.save(at / "labels.npy", np.tile(LABELS, 5))
    return tmp_path / "data"


@pytest.fixture
def clean():
    images = torch.from_numpy(clean_pixels()[:N]).permute(0, 3, 1, 2)
    return make_image_set("cifar10", images, torch.from_numpy(LABELS[:N]), 10)


@pytest.fixture
def run(folder, clean):
    """Return a function that evaluates the network on them."""

    def evaluate(network=None, **options):
        loaded = LoadedModel(network or Brightest(), "net", weights_sha256="f" * 64, source="test")
        device = torch.device("cpu")
        return evaluate_corrupted(
            loaded, CIFAR10C, clean, data_dir=folder, device=device, **options
        )

    return evaluate


def right_by_hand():
    """Return what is right, [corruptions, severities, n], written plainly."""
    found = np.zeros((len(COMMON), 5, N))
    for place in range(len(COMMON)):
        for severity in SEVERITIES:
            x = torch.from_numpy(corrupted_pixels(place, severity)[:N]).permute(0, 3, 1, 2) / 255
            found[place, severity - 1] = (Brightest()(x).argmax(1).numpy() == LABELS[:N]).tolist()
    return found


@pytest.fixture
def baseline(tmp_path):
    """Return a function that writes accuracies in RobustBench's layout."""

    def write(rows, corruptions=COMMON):
        keys = [(name, severity) for name in corruptions for severity in SEVERITIES]
        frame = pd.DataFrame(
            {key: [row[place] for row in rows.values()] for place, key in enumerate(keys)},
            index=list(rows),
        )
        frame.to_csv(tmp_path / "unaggregated_results.csv")
        return tmp_path / "unaggregated_results.csv"

    return write


def test_accuracies_are_those_counted_by_hand(run):
    record, right = run().record, right_by_hand()
    assert 0.2 < right.mean() < 0.98
    assert record.measure("corruptions_acc").value == pytest.approx(right.mean(), abs=1e-6)
    assert record.measure("clean_acc").value == 1
    for place, name in enumerate(COMMON):
        found = record.measure(f"acc_{name}")
        assert found.value == pytest.approx(right[place].mean(), abs=1e-6)
        assert (found.n, found.low <= found.value <= found.high) == (N, True)
    assert record.counts.forward == 75 * N + N
    assert (record.data.name, record.attack, record.threat_model) == ("cifar10-c", None, None)


def test_robustbench_gives_the_same_accuracy_and_the_same_mce(
    run, folder, baseline, monkeypatch, tmp_path
):
    from clbench.interop import robustbench as interop

    assert interop.benchmark
    evaluation = sys.modules["robustbench.eval"]
    monkeypatch.setattr("robustbench.data.np.load", np.load)
    alex = np.linspace(0.1, 0.6, 75).tolist()
    path = baseline({"AlexNet": alex})
    read = evaluation.CORRUPTION_DATASET_LOADERS

    def small(n, severity, data_dir, *, shuffle, corruptions, prepr):
        x = np.load(folder / "CIFAR-10-C" / f"{corruptions[0]}.npy")
        part = x[(severity - 1) * N_ALL :][:n].transpose(0, 3, 1, 2).astype(np.float32) / 255
        return torch.tensor(part), torch.tensor(LABELS[:n])

    cifar10 = next(key for key in read if key.value == "cifar10")
    common = next(key for key in read[cifar10] if key.value == "corruptions")
    monkeypatch.setitem(read[cifar10], common, small)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "model_info" / "cifar10" / "corruptions" / "unaggregated_results.csv"
    place.parent.mkdir(parents=True)
    place.write_bytes(path.read_bytes())
    accuracy, mce = evaluation.corruptions_evaluation(
        N, str(folder), cifar10, common, torch.device("cpu"), Brightest(), N, False, None, "net"
    )
    record = run(baseline=path).record
    assert record.measure("corruptions_acc").value == pytest.approx(accuracy, abs=1e-6)
    assert record.measure("corruptions_mce").value == pytest.approx(mce, abs=1e-6)


def test_without_a_baseline_there_is_no_relative_error(run):
    assert run().record.measure("corruptions_mce") is None


def test_errors_are_relative_to_the_baselines(run, baseline):
    record = run(baseline=baseline({"net": [0.75] * 75})).record
    found, acc = record.measure("corruptions_mce"), record.measure("corruptions_acc")
    assert found.value == pytest.approx((1 - acc.value) / 0.25, abs=1e-6)
    assert found.high - found.low == pytest.approx((acc.high - acc.low) / 0.25, abs=1e-6)


def test_a_record_is_written_checked_and_ranked(run, tmp_path):
    out = tmp_path / "out"
    done = run(out=out)
    table.build(out)
    assert read_record(done.paths.record) == done.record
    found = check(out)
    assert not found.problems
    assert "corruptions_acc" in found.not_checked
    board = pd.read_csv(out / table.CSV_NAME)
    assert board["rank"].tolist() == [1]
    assert board["corruptions_acc"][0] == pytest.approx(right_by_hand().mean(), abs=1e-5)


def test_other_corrupted_images_are_other_data(run, folder):
    before = run().record
    pixels = np.load(folder / "CIFAR-10-C" / "fog.npy")
    np.save(folder / "CIFAR-10-C" / "fog.npy", 255 - pixels)
    after = run().record
    assert before.data.sha256 != after.data.sha256
    assert before.run.hash != after.run.hash
    assert before.group != after.group


def test_robustbench_has_a_table_for_it(run, baseline, tmp_path):
    record = run(baseline=baseline({"AlexNet": [0.5] * 75})).record
    about = About(models={"net": Paper(additional_data=False)})
    (name, content), *rest = export([record], about, tmp_path).files.items()
    entry = json.loads(content)
    assert (name, rest) == ("cifar10/corruptions/net.json", [])
    assert (entry["dataset"], entry["eps"]) == ("cifar10", None)
    assert float(entry["corruptions_acc"]) == pytest.approx(100 * right_by_hand().mean(), abs=0.006)
    assert float(entry["corruptions_mce"]) > 0
    assert entry["footnote"].startswith("On 12 of 10000 test images")
    assert {"autoattack_acc", "unreliable"}.isdisjoint(entry)


def test_accuracies_in_3d_stand_beside_the_others(run, tmp_path):
    record = replace(run().record, data=replace(run().record.data, name="imagenet-c", n=5000))
    of_3d = mean_of("corruptions_acc_3d", [0.0, 1.0, 1.0], (0.0, 1.0))
    in_3d = replace(
        record,
        data=replace(record.data, name="imagenet-3dcc"),
        measures=(record.measure("clean_acc"), of_3d),
    )
    about = About(models={"net": Paper(additional_data=False)})
    written = export([in_3d, record], about, tmp_path)
    entry = json.loads(written.files["imagenet/corruptions/net.json"])
    assert entry["corruptions_acc_3d"] == "66.67"
    assert "corruptions_acc" in entry
    alone = export([in_3d], about, tmp_path)
    assert not alone.files
    assert "beside those on imagenet-c" in alone.left_out[0]


DAMAGED = {
    "missing": (lambda at: (at / "fog.npy").unlink(), "does not exist; give the right --data-dir"),
    "no labels": (lambda at: (at / "labels.npy").unlink(), "does not exist"),
    "cut off": (lambda at: (at / "fog.npy").write_bytes(b"\x93NUMPY"), "cut off, damaged or no"),
    "a web page": (lambda at: (at / "fog.npy").write_bytes(b"<html>"), "cut off, damaged or no"),
    "pickled": (
        lambda at: np.save(at / "fog.npy", np.array([{}]), allow_pickle=True),
        "cut off, damaged or no array",
    ),
    "floats": (lambda at: np.save(at / "fog.npy", np.zeros((100, 32, 32, 3))), "must be uint8"),
    "one severity fewer": (
        lambda at: np.save(at / "fog.npy", np.zeros((99, 32, 32, 3), dtype=np.uint8)),
        r"must be uint8 \[5 n, 32, 32, 3\]",
    ),
    "channels first": (
        lambda at: np.save(at / "fog.npy", np.zeros((100, 3, 32, 32), dtype=np.uint8)),
        "must be uint8",
    ),
    "other labels": (
        lambda at: np.save(at / "labels.npy", (LABELS + 1) % 10),
        "labels in .* are not those of the clean images",
    ),
    "too few images": (
        lambda at: np.save(at / "fog.npy", np.zeros((50, 32, 32, 3), dtype=np.uint8)),
        "has 10 images, got --n-examples 12",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_set_that_is_not_whole_is_one_line(run, folder, tmp_path, case):
    damage, said = DAMAGED[case]
    damage(folder / "CIFAR-10-C")
    with pytest.raises((DataError, BadValueError), match=said) as told:
        run(out=tmp_path / "out")
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "out").rglob("*.json"))


@pytest.mark.parametrize(
    ("rows", "corruptions", "said"),
    [
        ({"A": [0.5] * 75, "B": [0.5] * 75}, COMMON, "must have a row 'AlexNet', or one alone"),
        ({"A": [0.5] * 70}, COMMON[:-1], "must have accuracies of every corruption and severity"),
        ({"A": ["x"] * 75}, COMMON, "must have accuracies"),
        ({"A": [1.0] * 75}, COMMON, "must be above 0 and at most 1, got 0 for"),
        ({"A": [-0.5] * 75}, COMMON, "must be above 0 and at most 1, got 1.5"),
    ],
)
def test_a_wrong_baseline_is_one_line(baseline, rows, corruptions, said):
    with pytest.raises(BadValueError, match=said):
        read_baseline(baseline(rows, corruptions), CIFAR10C)


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\xff\xfe"])
def test_a_file_that_is_no_baseline_is_one_line(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(BadValueError, match=r"^baseline"):
        read_baseline(tmp_path / "x.csv", CIFAR10C)
    with pytest.raises(BadValueError, match="cannot be read"):
        read_baseline(tmp_path / "gone.csv", CIFAR10C)


@pytest.mark.parametrize("name", ["imagenet-c", "imagenet-3dcc"])
def test_pictures_of_imagenet_are_read_in_robustbenchs_order(tmp_path, name):
    of = CORRUPTED[name]
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.JPEG")
    at = tmp_path / of.folder / of.corruptions[0] / "3"
    classes = json.loads(robustbench_helper("imagenet_class_to_id_map.json"))
    ids = robustbench_helper("imagenet_test_image_ids.txt").split()
    for wnid in classes:
        (at / wnid).mkdir(parents=True)
    for number, one in enumerate(ids):
        os.link(tmp_path / f"{number % 3}.JPEG", at / one)
    labels = torch.tensor([classes[one.split("/")[0]] for one in ids[:5]])
    found = read_corrupted(of, of.corruptions[0], 3, labels, tmp_path)
    assert tuple(found.shape) == (5, 3, 224, 224)
    expected = np.asarray(Image.open(tmp_path / "1.JPEG")).transpose(2, 0, 1)
    assert np.array_equal(found[1:2][0].numpy(), expected)
    with pytest.raises(DataError, match="not those of the clean images"):
        read_corrupted(of, of.corruptions[0], 3, labels + 1, tmp_path)


def test_the_corruptions_are_robustbenchs():
    from clbench.interop import robustbench as interop

    assert interop.benchmark
    from robustbench.data import CORRUPTIONS, CORRUPTIONS_3DCC, CORRUPTIONS_DIR_NAMES

    assert (COMMON, IN_3D) == (CORRUPTIONS, CORRUPTIONS_3DCC)
    folders = {
        (dataset.value, kind.value): name
        for dataset, by_kind in CORRUPTIONS_DIR_NAMES.items()
        for kind, name in by_kind.items()
    }
    assert {(of.dataset, of.threat_model): of.folder for of in CORRUPTED.values()} == folders


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("robustbench:X", "robustbench:corruptions/X"),
        ("a=robustbench:X", "a=robustbench:corruptions/X"),
        ("robustbench:Linf/X", "robustbench:Linf/X"),
        ("simclr_at", "simclr_at"),
        ("timm:resnet18", "timm:resnet18"),
    ],
)
def test_robustbenchs_table_is_that_of_corruptions(typed, expected):
    assert of_threat_model(typed, "corruptions") == expected


def test_the_clean_images_must_be_there_too(folder):
    with pytest.raises(ClbenchError, match="no cifar10 in"):
        clbench.evaluate_corruptions("simclr_at", dataset="cifar10-c", data_dir=folder)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_an_interval_of_equal_values_has_a_width(value):
    found = mean_of("acc", [value] * 40, (0.0, 1.0))
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.05
