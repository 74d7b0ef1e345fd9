"""What cannot be fitted is refused in one line that says what, and what to do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import clbench
from clbench.models import load_model
from clbench.schema.errors import ClbenchError

ENCODERS = {
    # name in nets.py: the method, what the line says
    "pair": ("slf", "must return one tensor of features, got tuple"),
    "nothing": ("slf", "returns NaN or infinite features"),
    "unpooled": ("slf", r"a row of features for each of 4 images, got \[4, 12, 3, 3\]"),
    "probabilities": ("slf", "returns probabilities of classes, not features"),
    "log_probabilities": ("slf", "returns probabilities of classes, not features"),
    "uncopied": ("slf", "the encoder cannot be copied: TypeError: cannot be copied"),
    "fixed": ("slf", r"fails on images \[4, 1, 8, 8\]: AssertionError: 28x28 only"),
    "cut": ("slf", "has no gradient at its images, which the adversaries of training"),
    "missing": ("slf", "nets.py:missing': there is no 'missing' in it"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_without_features_is_refused(name, nets, fit, tmp_path):
    method, says = ENCODERS[name]
    with pytest.raises(ClbenchError, match=says) as refusal:
        fit(f"{nets}:{name}", tmp_path / "out", method)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


GIVEN = {
    "unknown method": (
        {"method": "lsf"},
        "unknown method of a head 'lsf'; did you mean 'slf'",
    ),
    "no seed": ({"seeds": 0}, "--seeds must be a whole number from 1 to 1000, got 0"),
    "a slip": ({"encoder": "simclr_att"}, "unknown model 'simclr_att'; did you mean 'simclr_at'"),
    "of RobustBench": (
        {"encoder": "robustbench:Standard"},
        "is built by RobustBench; import its checkpoint: clbench import FILE --out DIR",
    ),
    "other channels": (
        {"encoder": "simclr_at.cifar10"},
        "'simclr_at.cifar10' is of cifar10, but the data is digits",
    ),
    "other channels, no data set": (
        {"encoder": "simclr_at.cifar10", "dataset": None},
        "takes images of 3x32x32",
    ),
    "weights twice": (
        {"encoder": "simclr_at=a.safetensors", "weights": "b.safetensors"},
        "has its weights, got b.safetensors too; leave one out",
    ),
    "weights that are not there": ({"weights": "b.safetensors"}, "b.safetensors"),
    "no images": (
        {"dataset": None, "data": []},
        "a head needs images to be fitted on, got none; give --dataset or --data FILE",
    ),
    "unknown data set": ({"dataset": "digit", "data": []}, "unknown dataset 'digit'"),
    "no archive": ({"encoder": "simclr_at.cifar10", "dataset": "cifar10", "data": []}, "cifar10"),
    "no tag": ({"dataset": None}, "'simclr_at' needs a tag for this data, got none"),
    "no file": ({"data": ["none.npz"]}, "none.npz"),
    "no recipe": ({"recipe": "none.toml"}, "recipe 'none.toml' does not exist"),
    "no recipe file": ({"recipe": "default"}, "--recipe must be a file that ends in .toml"),
    "an adversary in slf": (
        {"changes": {"finetuning.adversary": '{ eps = "1/6", steps = 2, step_size = 0.5 }'}},
        "slf is standard linear finetuning: it trains 'classifier' on clean images",
    ),
    "everything in alf": (
        {"method": "alf", "changes": {"finetuning.trains": "everything"}},
        "alf is adversarial linear finetuning",
    ),
    "no adversary in aff": (
        {"method": "aff", "changes": {"finetuning.adversary": "none"}},
        "needs an adversary",
    ),
    "a contrastive loss": (
        {"method": "aff", "changes": {"finetuning.loss": "supcon"}},
        "aff is adversarial full finetuning",
    ),
    "seed by --set": ({"changes": {"seed": "3"}}, "give their number with --seeds"),
    "a phase that there is not": ({"changes": {"pretraining.epochs": "3"}}, "pretraining"),
    "a field that there is not": ({"changes": {"finetuning.epoch": "3"}}, "did you mean 'epochs'"),
    "milestones without steps": (
        {"changes": {"finetuning.optimizer.schedule": "cosine"}},
        "milestones of an optimizer belong to schedule = 'steps'",
    ),
    "milestones that fall": (
        {"changes": {"finetuning.optimizer.milestones": "[5, 2]"}},
        r"rising epochs from 1, got \[5, 2\]",
    ),
    "noise without its size": (
        {"method": "aff", "changes": {"finetuning.adversary.start_noise": "0.0"}},
        "start_noise of an adversary must be above 0",
    ),
    "no device": ({"device": "tpu"}, "tpu"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_what_does_not_go_together_is_refused(case, fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, says = GIVEN[case]
    given = {"encoder": "simclr_at"} | given
    with pytest.raises(ClbenchError, match=says) as refusal:
        fit(given.pop("encoder"), tmp_path / "out", **given)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_network_in_memory_has_no_folder_and_is_refused(tmp_path, pictures):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ClbenchError, match=r"must be a name or a path, by which .* Sequential"):
        clbench.fit_head(network, method="slf", data=[pictures], out=tmp_path / "out")


IMAGES = {
    "one class": (np.zeros(20), "needs images of two classes"),
    "one image of each class": (np.arange(10), "needs two images of two classes"),
    "a label beyond": (np.arange(20) % 2 * 12, "12"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_labels_that_do_not_do_are_refused(case, nets, fit, tmp_path):
    labels, says = IMAGES[case]
    file = tmp_path / "images.npz"
    images = np.random.default_rng(0).random((len(labels), 8, 8, 1), dtype=np.float32)
    np.savez(file, x=images, y=labels.astype(int))
    with pytest.raises(ClbenchError, match=says):
        fit(f"{nets}:features", tmp_path / "out", data=[file])


@pytest.fixture(scope="module")
def finished(fit, nets, tmp_path_factory):
    """A folder with a finished head, to be copied."""
    out = tmp_path_factory.mktemp("finished") / "head"
    fit(f"{nets}:features", out)
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the folder with a finished head."""
    return Path(shutil.copytree(finished, tmp_path / "head"))


OTHERS = {
    "method": ({"method": "alf"}, "with another method and criterion and finetuning"),
    "encoder": ({"name": "direct"}, "with another encoder"),
    "recipe": ({"changes": {"finetuning.epochs": "3"}}, "with another finetuning"),
    "validation": ({"changes": {"validation.steps": "2"}}, "with another validation"),
    "images": ({"data": []}, "with another images"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_folder_of_another_head_is_refused(case, out, nets, fit):
    given, says = OTHERS[case]
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    name = given.get("name", "features")
    given = {key: value for key, value in given.items() if key != "name"}
    with pytest.raises(ClbenchError, match=f"{says}; choose another --out, or replace it with"):
        fit(f"{nets}:{name}", out, **given)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_folder_of_a_model_gets_no_seeds(imported, nets, fit, finished):
    for folder in (imported("narrow"), finished / "seed-0"):
        with pytest.raises(ClbenchError, match=r"holds another run, .*; choose another --out"):
            fit(f"{nets}:features", folder)


def test_a_file_is_no_folder(nets, fit, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ClbenchError, match="out"):
        fit(f"{nets}:features", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_another_head_under_way_is_refused(fit, nets, tmp_path):
    class StopError(Exception):
        pass

    def stop(_row):
        raise StopError

    with pytest.raises(StopError):
        fit(f"{nets}:features", tmp_path, on_epoch=stop)
    with pytest.raises(ClbenchError, match="under way with another method"):
        fit(f"{nets}:features", tmp_path, "alf")
    with pytest.raises(ClbenchError, match="under way with another encoder"):
        fit(f"{nets}:direct", tmp_path)


DAMAGE = {
    "weights.safetensors": lambda data: data[:-8] + bytes(8),
    "head.json": lambda data: data.replace(b'"seed": 0', b'"seed": 1'),
    "code/nets.py": lambda data: data.replace(b"features = seeded(rows)", b"features = 3"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_no_model(name, out):
    file = out / "seed-0" / name
    file.write_bytes(DAMAGE[name](file.read_bytes()))
    with pytest.raises(ClbenchError):
        load_model(str(out / "seed-0"), n_classes=10, shape=(1, 8, 8))


@pytest.mark.parametrize("name", ["weights.safetensors", "run.json"])
def test_a_damaged_run_is_not_gone_on_with(name, out, nets, fit):
    file = out / "seed-0" / name
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"seed": 0', b'"seed": 1') if name == "run.json" else data[:-9])
    with pytest.raises(ClbenchError, match=r"with --restart|into another"):
        fit(f"{nets}:features", out)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 8), (1, 16, 16)])
def test_images_of_another_size_are_refused(shape, out):
    with pytest.raises(ClbenchError, match=r"takes images of 1x8x8 .*, got "):
        load_model(str(out / "seed-0"), n_classes=10, shape=shape)


def test_the_entry_tells_no_place_of_the_users_machine(out, nets):
    entry = json.loads((out / "seed-0" / "head.json").read_text())
    assert entry["architecture"] == "nets.py:features"
    assert str(nets.parent) not in json.dumps(entry)
