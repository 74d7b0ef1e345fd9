"""Networks of a hub: what a folder of one says is what is done, or one line says why not."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import clbench
from clbench.interop import huggingface
from clbench.models import load_model, save_weights
from clbench.models.families import OURS
from clbench.models.preprocessing import read_preprocessing
from clbench.schema.errors import BadValueError, ClbenchError
from tests.models.hub_cache import fill_cache, use_cache

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CFG = {"input_size": [3, 32, 32], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}
CFG |= {"crop_pct": 1.0, "interpolation": "bilinear", "classifier": "fc", "num_classes": 3}


def network():
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=3).eval()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A folder as timm's ``save_for_hf`` writes it."""
    folder = tmp_path_factory.mktemp("hub") / "net"
    folder.mkdir()
    save_weights(network(), folder / "model.safetensors", half=False)
    config = {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": CFG}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path / "net")
    return tmp_path / "net"


def change(folder, **fields):
    """Change fields of ``config.json``; those that are None go."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def change_cfg(folder, **fields):
    cfg = {k: v for k, v in (CFG | fields).items() if v is not None}
    change(folder, pretrained_cfg=cfg)


def load(folder, images=IMAGES, **options):
    return load_model(str(folder), n_classes=3, shape=tuple(images.shape[1:]), **options)


def seen(images):
    mean, std = (torch.tensor(CFG[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    return (images - mean) / std


# what is read


def test_a_folder_of_a_hub_sees_images_as_its_configuration_says(folder, caplog):
    loaded = load(folder)
    assert torch.equal(loaded.network(IMAGES), network()(seen(IMAGES)))
    words = "normalised by mean 0.4,0.5,0.6 and std 0.2,0.25,0.5"
    assert (loaded.name, loaded.preprocessing) == ("local-dir:net", words)
    assert caplog.messages == [f"local-dir:net sees images {words}, by its config.json"]
    assert (loaded.backbone, loaded.source) == (
        "resnet10t",
        f"timm {timm.__version__}, model.safetensors",
    )


def test_images_of_another_size_are_resized_and_it_is_said(folder, caplog):
    larger = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    loaded = load(folder, larger)
    assert loaded.preprocessing.startswith("resized to 32x32 (bilinear, crop 1), normalised")
    assert "resized to 32x32" in caplog.text
    assert loaded.network(larger).shape == (2, 3)


def test_what_is_said_by_hand_goes_before_and_it_is_said(folder, caplog):
    given = read_preprocessing(mean="0.5,0.5,0.5", std="0.5,0.5,0.5")
    loaded = load(folder, preprocessing=given)
    assert torch.equal(loaded.network(IMAGES), network()((IMAGES - 0.5) / 0.5))
    assert loaded.preprocessing == str(given)
    assert "by hand, instead of what its config.json says" in caplog.text


def older_form(folder):
    """Write what timm wrote at first: all in one table."""
    flat = {"architecture": "resnet10t", "num_features": 512, **CFG}
    (folder / "config.json").write_text(json.dumps(flat))


def torchs_file(folder):
    (folder / "model.safetensors").unlink()
    torch.save(network().state_dict(), folder / "pytorch_model.bin")


READ = {
    "timm's first form": older_form,
    "a file of torch.save": torchs_file,
    "fields that only a newer timm knows": lambda one: change_cfg(one, license_of_2030="free"),
    "places of other weights": lambda one: change_cfg(one, file="/etc/passwd", url="http://x/y"),
    "a hub's number": lambda one: change_cfg(one, hf_hub_id="other/net", source="hf-hub"),
    "its own loader": lambda one: change_cfg(one, custom_load=True),
    "an offset of labels": lambda one: change_cfg(one, label_offset=1),
    "names of classes": lambda one: change(one, label_names=["a", "b", "c"]),
    "too few names": lambda one: change(one, label_names=["a"]),
    "names by number": lambda one: change(one, label_names={"0": "a"}),
    "no options": lambda one: change(one, model_args={}),
    "the part of another project": lambda one: change(one, other={"a": 1}),
    "a card beside": lambda one: (one / "README.md").write_text("# net"),
}


@pytest.mark.parametrize("case", READ)
def test_what_people_have_in_such_folders_is_read(folder, case):
    READ[case](folder)
    loaded = load(folder)
    assert torch.equal(loaded.network(IMAGES), network()(seen(IMAGES)))
    assert loaded.class_names == (("a", "b", "c") if case == "names of classes" else ())


# what is refused


def evil(folder):
    """Name a pickle for timm to unpickle."""
    torch.save({"state_dict": network().state_dict()}, folder / "evil.pth")
    change(folder, model_args={"checkpoint_path": str(folder / "evil.pth")})


def other_weights(folder):
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")


REFUSED = {
    "no JSON": (lambda one: (one / "config.json").write_text("{"), "is cut off or no JSON"),
    "deep": (lambda one: (one / "config.json").write_text("[" * 10**5), "cut off or no JSON"),
    "a list": (lambda one: (one / "config.json").write_text("[]"), "must be a table, got"),
    "bytes": (lambda one: (one / "config.json").write_bytes(b"\xff\xfe\x00"), "no JSON"),
    "of transformers": (
        lambda one: change(one, architecture=None, architectures=["ViTForImageClassification"]),
        "a network of transformers, ['ViTForImageClassification']",
    ),
    "of nobody": (lambda one: change(one, architecture=None), "of no network of timm"),
    "a number": (lambda one: change(one, architecture=7), "of no network of timm"),
    "unknown": (lambda one: change(one, architecture="resnet10tt"), "did you mean 'resnet10t'?"),
    "no classes": (lambda one: change(one, num_classes="ten"), "num_classes of config.json must"),
    "minus one": (lambda one: change(one, num_classes=-1), "num_classes of config.json must"),
    "true": (lambda one: change(one, num_classes=True), "num_classes of config.json must"),
    "too few": (lambda one: change(one, num_classes=2), "was trained on 2 classes, the data has 3"),
    "more": (lambda one: change(one, num_classes=4), "are of another network"),
    "options as list": (lambda one: change(one, model_args=[1]), "model_args of config.json"),
    "unknown options": (lambda one: change(one, model_args={"x": 1}), "cannot be built as its"),
    "a pickle": (evil, "model_args of config.json must be options of a network"),
    "pretrained": (lambda one: change(one, model_args={"pretrained": True}), "must be options of"),
    "own part": (lambda one: change(one, clbench=[1]), "clbench of config.json must be a table"),
    "cfg a list": (lambda one: change(one, pretrained_cfg=[1]), "pretrained_cfg of config.json"),
    "mean a word": (lambda one: change_cfg(one, mean="x"), "mean must be a number per channel"),
    "mean of two": (lambda one: change_cfg(one, mean=[0.1, 0.2]), "one number for each of"),
    "both of two": (lambda one: change_cfg(one, mean=[0, 0], std=[1, 1]), "must be 3 numbers"),
    "no deviation": (lambda one: change_cfg(one, std=[1, 0, 1]), "std must be above 0"),
    "infinite": (lambda one: change_cfg(one, mean=[0, 0, float("inf")]), "a number per channel"),
    "size of two": (lambda one: change_cfg(one, input_size=[3, 32]), "input_size of config.json"),
    "size of none": (lambda one: change_cfg(one, input_size=[3, 0, 0]), "input_size of config"),
    "size a word": (lambda one: change_cfg(one, input_size="3x2"), "input_size of config.json"),
    "crop": (lambda one: change_cfg(one, crop_pct=0), "crop_pct of config.json must be a share"),
    "interpolation": (lambda one: change_cfg(one, interpolation=3), "interpolation of config.json"),
    "huge": (lambda one: change_cfg(one, mean=[0, 0, 10**400]), "mean must be a number per"),
    "grey": (
        lambda one: change_cfg(one, input_size=[1, 32, 32], mean=[0.5], std=[0.5]),
        "takes images of 1 channels, got 3",
    ),
    "other weights": (other_weights, "are of another network"),
    "cut off weights": (
        lambda one: (one / "model.safetensors").write_bytes(
            (one / "model.safetensors").read_bytes()[:-9]
        ),
        "are cut off",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_right_is_refused_in_one_line(folder, case):
    damage, says = REFUSED[case]
    damage(folder)
    with pytest.raises(ClbenchError) as caught:
        load(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_weights_beside_are_refused(folder):
    with pytest.raises(BadValueError, match=r"has its weights, got w\.pth too; leave one out"):
        load(folder, weights=Path("w.pth"))


def test_classes_in_another_order_are_refused(folder, tmp_path):
    change(folder, label_names=["cat", "bee", "dog"])
    images = clbench.load_data((IMAGES, torch.tensor([0, 1])))
    images = replace(images, class_names=("bee", "cat", "dog"), n_classes=3)
    with pytest.raises(ClbenchError, match="class 0 of arrays is 'bee', of local-dir:net 'cat'"):
        clbench.evaluate(str(folder), data=images, norm="Linf", eps="1/255", attack="pgd,steps=1")


# the hub itself


@pytest.fixture
def cache(folder, tmp_path, monkeypatch):
    fill_cache(tmp_path / "cache", "someone/net", folder)
    use_cache(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


NAMES = ["hf-hub:someone/net", "hf_hub:someone/net", "timm:hf-hub:someone/net"]
NAMES += ["timm:hf_hub:someone/net", "hf-hub:someone/net@main", "mine=hf-hub:someone/net"]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", NAMES)
def test_a_repository_that_was_fetched_before_needs_no_network(name):
    loaded = load_model(name, n_classes=3, shape=(3, 32, 32))
    assert torch.equal(loaded.network(IMAGES), network()(seen(IMAGES)))
    expected = "hf-hub:someone/net@main" if name.endswith("main") else "hf-hub:someone/net"
    assert loaded.name == ("mine" if name.startswith("mine=") else expected)


@pytest.mark.parametrize("name", ["hf-hub:someone/other", "timm:hf-hub:a/b@v1", "hf_hub:nobody"])
@pytest.mark.usefixtures("cache")
def test_without_a_network_one_line_says_what_to_do(name):
    said = r"cannot be had from the hub \(HF_HUB_OFFLINE is set\), nor .*; fetch it .*local-dir:DIR"
    with pytest.raises(ClbenchError, match=said) as caught:
        load_model(name, n_classes=3, shape=(3, 32, 32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [socket.gaierror, TimeoutError, ConnectionRefusedError])
def test_a_hub_that_nobody_answers_for_is_asked_once(tmp_path, monkeypatch, error):
    use_cache(monkeypatch, tmp_path)
    asked = []

    def refuse(address, timeout):
        asked.append((address, timeout))
        raise error

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ClbenchError, match=f"huggingface.co is not in reach: {error.__name__}"):
        load_model("hf-hub:someone/net", n_classes=3, shape=(3, 32, 32))
    assert asked == [(("huggingface.co", 443), 5)]


@pytest.mark.parametrize("gone", ["model.safetensors", "config.json"])
def test_a_part_that_was_not_fetched_is_missed(cache, gone):
    next(cache.rglob(gone)).unlink()
    with pytest.raises(ClbenchError, match="cannot be had from the hub"):
        load_model("hf-hub:someone/net", n_classes=3, shape=(3, 32, 32))


def test_families_of_clbench_are_timms_too():
    assert {timm.is_model(name) for name in OURS} == {True}
    options = {"block": "basic", "layers": [1, 1, 1, 1], "width": 16, "num_classes": 4}
    made = timm.create_model("clbench_cifar", in_chans=2, **options).eval()
    assert made(torch.rand(1, 2, 8, 8)).shape == (1, 4)
    assert timm.create_model("clbench_torchvision", name="resnet18", num_classes=4).fc.out_features
