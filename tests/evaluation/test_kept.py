"""Adversarial images are on a disk where they are wanted, and nowhere where they are not."""

import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import clbench
from clbench.data.image_set import make_image_set
from clbench.data.stored import StoredImages
from clbench.evaluation.leftovers import leftovers
from clbench.schema.files import unseal

N, CLASSES, TILE, SIDE = 23, 5, 8, 24
ATTACK = "apgd-ce,n_iter=4 + apgd-t,n_iter=3,n_target_classes=2 + square,n_queries=20"


class Net(nn.Sequential):
    """A small network whose class has a name."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES)
    return Net(*layers).eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    """Pictures in folders of their classes, by which the network is right about most."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    labels = network(torch.tensor(pixels).permute(0, 3, 1, 2) / 255).argmax(1)
    labels[: CLASSES + 2] = torch.arange(CLASSES + 2) % CLASSES
    made = tmp_path_factory.mktemp("made") / "pictures"
    for number, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        (made / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(made / str(label) / f"{number}.png")
    return made


@pytest.fixture(scope="module")
def run(network, folder):
    """Return a function that evaluates the network on the pictures, or on others."""

    def evaluate(out, data=folder, **settings):
        given = {"eps": "1/100", "attack": ATTACK, "backend": "native", "batch_size": TILE}
        given |= {"seed": 3, "probe": False, "device": "cpu", "save_adversarial": True}
        return clbench.evaluate(network, data=data, out=out, **(given | settings))

    return evaluate


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The run in memory that was never stopped, with its images."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def on_disk(monkeypatch):
    """No image is in memory before it is asked for."""
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)


def test_something_is_broken_and_something_is_not(whole):
    assert {"clean", "", "apgd-ce"} <= set(whole.examples.broken_by.tolist())


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_evidence_of_images_on_a_disk_is_that_of_images_in_memory(
    run, tmp_path, monkeypatch, probe, keep
):
    how = {"probe": probe, "save_adversarial": keep}
    expected = run(tmp_path / "memory", **how)
    monkeypatch.setattr("clbench.data.stored.IN_MEMORY_MOST", 0)
    found = run(tmp_path / "disk", **how)
    assert found.paths.evidence.read_bytes() == expected.paths.evidence.read_bytes()
    assert found.record.run == expected.record.run
    assert found.record.measures == expected.record.measures
    assert found.record.counts == expected.record.counts
    assert not list((tmp_path / "disk" / "progress").iterdir())


def test_they_are_what_broke_an_example_or_the_clean_image(run, whole, on_disk, network, folder):
    found = run(None, save_adversarial=False)  # without a folder they always are
    clean = clbench.load_data(folder).tensor()
    assert torch.equal(found.adversarial, whole.adversarial)
    untouched = np.isin(found.examples.broken_by, ["", "clean"])
    assert torch.equal(found.adversarial[untouched], clean[untouched])
    said = network(found.adversarial).argmax(1)
    assert said.tolist() == found.examples.adv_pred.tolist()


def test_images_that_are_there_twice_have_one_each(run, folder):
    data = clbench.load_data(folder)
    found = run(None, data.select(torch.tensor([4, 9, 4, 9, 2])))
    expected = run(None, data.select(torch.tensor([4, 9, 2])))
    assert torch.equal(found.adversarial, expected.adversarial[[0, 1, 0, 1, 2]])


class StopError(Exception):
    pass


def stopped(run, out, after, **settings):
    """Run until so many reports."""
    told = 0

    def stop(_):
        nonlocal told
        told += 1
        if told > after:
            raise StopError

    with pytest.raises(StopError):
        run(out, on_progress=stop, **settings)


@pytest.mark.parametrize("after", [2, 4, 6, 8])
@pytest.mark.parametrize("before", [True, False], ids=["kept before", "not kept before"])
@pytest.mark.usefixtures("on_disk")
def test_a_stopped_run_ends_with_the_images_that_it_would_have_had(
    run, whole, tmp_path, after, before
):
    stopped(run, tmp_path, after, save_adversarial=before, evidence=None if before else "verdicts")
    images = list((tmp_path / "progress").glob("*.images"))
    assert len(images) == before
    found = run(tmp_path)
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()
    if before:
        assert found.record.counts == whole.record.counts
    assert not list((tmp_path / "progress").iterdir())


@pytest.mark.parametrize("damage", ["gone", "cut", "altered", "of zeros", "longer"])
def test_images_that_are_not_what_they_were_are_made_again(run, whole, tmp_path, damage):
    stopped(run, tmp_path, 8)
    (path,) = (tmp_path / "progress").glob("*.images")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = {
            "cut": content[:5000],
            "altered": bytes([7]) * 9 + content[9:],
            "of zeros": bytes(len(content)),
            "longer": content + b"more",
        }
        path.write_bytes(changed[damage])
    found = run(tmp_path)
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()


def test_progress_holds_no_images(run, tmp_path):
    stopped(run, tmp_path, 8)
    (path,) = (tmp_path / "progress").glob("*.npz")
    with np.load(io.BytesIO(unseal(path.read_bytes()))) as file:
        images = [name for name in file.files if file[name].ndim > 2]
    assert all(name.startswith("in_flight") for name in images)


def test_what_a_stopped_run_left_is_listed(run, tmp_path):
    stopped(run, tmp_path, 6)
    found = [(one.path.suffix, one.what) for one in leftovers(tmp_path)]
    assert found == [(".images", "images of a run"), (".npz", "progress")]


def test_a_restart_leaves_no_images(run, tmp_path):
    stopped(run, tmp_path, 6)
    run(tmp_path, restart=True, save_adversarial=False)
    assert not list((tmp_path / "progress").iterdir())


def test_a_package_that_kept_none_begins_again(run, tmp_path, caplog):
    how = {"backend": "pyautoattack", "attack": "apgd-ce + square,n_queries=5"}
    stopped(run, tmp_path, 2, save_adversarial=False, evidence="verdicts", **how)
    found = run(tmp_path, **how)
    assert "the adversarial images, which are wanted now, were not kept with it" in caplog.text
    assert len(found.adversarial) == N


# how many images there are in memory


@pytest.mark.parametrize("probe", [False, True], ids=["attacks", "attacks and probe"])
def test_an_evaluation_has_few_images_in_memory(network, run, tmp_path, monkeypatch, probe):
    n, alive = 192, {"now": 0, "most": 0}
    images = torch.randint(0, 256, (n, 3, SIDE, SIDE)).to(torch.uint8)
    monkeypatch.setattr("clbench.data.stored._PART", 4 * 3 * SIDE * SIDE * TILE)

    def gone(many):
        alive["now"] -= many

    def read(places):
        alive["now"] += len(places)
        alive["most"] = max(alive["most"], alive["now"])
        found = images[places]
        weakref.finalize(found, gone, len(places))
        return found

    stored = StoredImages.of(n, (3, SIDE, SIDE), torch.uint8, read)
    labels = network(images / 255).argmax(1)
    data = make_image_set("many", stored, labels, CLASSES)
    done = run(tmp_path, data, probe=probe, save_adversarial=False, attack="apgd-ce,n_iter=2")
    assert len(done.examples) == n
    assert alive["most"] <= 64  # a minibatch of CKA
