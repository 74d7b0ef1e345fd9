"""``clbench push-folder``: what it writes is what a hub needs, and the network is what it was."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from clbench.models import load_model, save_weights
from clbench.models.backbones.architecture import Architecture
from clbench.models.importing.write import write_model
from clbench.runtime.hashing import state_sha256
from clbench.schema.imported import ImportedModel
from tests.models.hub_cache import by_timm, fill_cache, use_cache

FILES = ["README.md", "config.json", "model.safetensors"]
SMALL = {"layers": [1, 1, 1], "num_classes": 4, "in_chans": 3}
FOUR = SMALL | {"layers": [1, 1, 1, 1], "width": 8}
NETWORKS = {
    "cifar": ("cifar", "resnet10_w8", FOUR | {"block": "basic"}),
    "cifar of two channels": ("cifar", "net", FOUR | {"block": "basic", "in_chans": 2}),
    "cifar with bottlenecks": ("cifar", "net", FOUR | {"block": "bottleneck", "stem_padding": 2}),
    "an encoder": ("cifar", "net", FOUR | {"block": "basic", "num_classes": 0}),
    "preact": ("preact", "net", FOUR | {"shortcut_of": "input"}),
    "wide": ("wide", "net", SMALL | {"width": 16, "stem": 16, "bias": True}),
    "torchvision": ("torchvision", "mobilenet_v3_small", {"num_classes": 4}),
    "timm": ("timm", "resnet10t", {"num_classes": 4, "in_chans": 3}),
    "timm of one channel": ("timm", "resnet10t", {"num_classes": 4, "in_chans": 1}),
    "a ViT with its own heads": (
        "timm",
        "vit_tiny_patch16_224",
        {"img_size": 32, "depth": 1, "num_heads": 6, "num_classes": 4, "in_chans": 3},
    ),
}


def imported(folder, family, name, options):
    """Write a folder as ``import`` does, and return the network in it."""
    torch.manual_seed(0)
    architecture = Architecture(family, name, options)
    network = architecture.build().eval()
    channels = options.get("in_chans", 3)
    entry = ImportedModel(
        *("mine", family, name, options, options["num_classes"]),
        *((0.4,) * channels, (0.25,) * channels),
        *({"normalisation": "mean 0.4 (said by hand)"}, "torch", "its names", "", ()),
        *("w.pth", "0" * 64, state_sha256(network)),
    )
    write_model(folder, network, entry)
    return network


@torch.no_grad()
@pytest.mark.parametrize("case", NETWORKS)
def test_an_imported_network_is_the_same_on_a_hub(clbench, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    network = imported(tmp_path / "mine", *NETWORKS[case])
    done = clbench("push-folder", "mine")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "wrote README.md, config.json, model.safetensors into hub/mine",
        "next: hf upload USER/mine hub/mine",
    ]
    assert sorted(one.name for one in (tmp_path / "hub" / "mine").iterdir()) == FILES
    options = NETWORKS[case][2]
    images = torch.rand(2, options.get("in_chans", 3), 32, 32)
    asked = {"n_classes": options["num_classes"] or 4, "shape": tuple(images.shape[1:])}
    doors = [load_model(name, **asked) for name in ("mine", "hub/mine", "local-dir:hub/mine")]
    answers = [one.network(images) for one in doors]
    assert all(torch.equal(answers[0], other) for other in answers)
    assert {one.weights_sha256 for one in doors} == {state_sha256(network)}
    assert len({one.preprocessing for one in doors}) == 1
    assert {one.is_encoder for one in doors} == {not options["num_classes"]}
    fill_cache(tmp_path / "cache", "a/b", tmp_path / "hub" / "mine")
    use_cache(monkeypatch, tmp_path / "cache")
    theirs = by_timm(tmp_path / "hub" / "mine", "a/b").eval()
    assert torch.equal(theirs((images - 0.4) / 0.25), answers[0])
    assert tuple(theirs.pretrained_cfg["mean"]) == (0.4,) * images.shape[1]


@torch.no_grad()
def test_a_trained_network_is_published_with_its_full_weights(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    about = {"model": "simclr_at.digits", "backbone": "resnet10_w16", "recipe_sha256": "a" * 64}
    network = Architecture(
        "cifar", "net", FOUR | {"width": 16, "block": "basic", "in_chans": 1, "num_classes": 10}
    ).build()
    save_weights(network, tmp_path / "run" / "weights.safetensors", about=about)
    assert clbench("push-folder", "run", "--out", "there").status == 0
    images = torch.rand(2, 1, 8, 8)
    doors = [load_model(one, dataset="digits") for one in ("run", "there")]
    assert torch.equal(*(one.network(images) for one in doors))
    assert doors[0].weights_sha256 == doors[1].weights_sha256
    card = (tmp_path / "there" / "README.md").read_text()
    assert f"| Recipe | {'a' * 64} |" in card
    assert "| Architecture | resnet10_w16, as clbench_cifar of timm |" in card


SHORT = ("finetuning.epochs=2", "finetuning.optimizer.milestones=[1]", "validation.steps=1")


def test_a_head_is_published_with_its_encoder(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = [word for change in SHORT for word in ("--set", change)]
    fitted = ("head", "simclr_at", "--method", "slf", "--dataset", "digits", "--seeds", "1")
    assert clbench(*fitted, "--out", "heads", *changes).status == 0
    done = clbench("push-folder", "heads/seed-0", "--out", "there")
    assert (done.status, done.err) == (0, "")
    images = torch.rand(2, 1, 8, 8)
    doors = [load_model(one, dataset="digits") for one in ("heads/seed-0", "there")]
    with torch.no_grad():
        assert torch.equal(*(one.network(images) for one in doors))
    assert doors[0].weights_sha256 == doors[1].weights_sha256
    assert "| Classifier | slf, seed 0 of 0 |" in (tmp_path / "there" / "README.md").read_text()


def test_a_head_on_own_code_is_not_published(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())\n"
    )
    changes = [word for change in SHORT for word in ("--set", change)]
    fitted = ("head", "net.py:make", "--method", "slf", "--dataset", "digits", "--seeds", "1")
    assert clbench(*fitted, "--out", "heads", *changes).status == 0
    done = clbench("push-folder", "heads/seed-0")
    assert done.status == 2
    assert "is a network of net.py:make, which a hub's config.json cannot name" in done.err


@pytest.fixture
def evaluated(clbench, tmp_path, monkeypatch):
    """A folder with a record of one network of the zoo."""
    monkeypatch.chdir(tmp_path)
    common = ("--n-examples", "8", "--attack", "pgd,steps=1", "--no-probe", "--quiet")
    assert clbench("eval", "--model", "simclr_at", *common).status == 0
    return tmp_path


@pytest.mark.usefixtures("evaluated")
def test_a_card_is_one_that_the_hub_takes_with_the_results_of_the_records(clbench, tmp_path):
    done = clbench("push-folder", "simclr_at.digits", "--results", "results", "--json")
    told = json.loads(done.out)
    assert (told["files"], told["folder"]) == (FILES, "hub/simclr_at.digits")
    assert told["command"] == "hf upload USER/simclr_at.digits hub/simclr_at.digits"
    data = ModelCard.load(tmp_path / "hub" / "simclr_at.digits" / "README.md").data
    assert (data.library_name, data.license, data.model_name) == ("timm", "mit", "simclr_at.digits")
    assert data.pipeline_tag == "image-classification"
    robust = "robust accuracy (pgd in Linf 1/6)"
    assert [one.metric_name for one in data.eval_results] == ["clean accuracy", robust]
    assert {one.dataset_args["n_examples"] for one in data.eval_results} == {8}
    config = json.loads((tmp_path / "hub" / "simclr_at.digits" / "config.json").read_text())
    assert config["clbench"]["needs"] == "pip install clbench; import clbench.models"
    assert config["pretrained_cfg"]["input_size"] == [1, 8, 8]


def test_records_that_know_the_weights_by_their_file_are_found(clbench, tmp_path):
    ours = Path(__file__).parents[2] / "leaderboard"  # made before they were known by their state
    done = clbench("push-folder", "supcon_at.digits", "--results", ours, "--out", tmp_path / "hub")
    assert done.status == 0, done.err
    data = ModelCard.load(tmp_path / "hub" / "README.md").data
    assert "robust accuracy (autoattack in Linf 1/6)" in [
        one.metric_name for one in data.eval_results
    ]


def test_the_same_again_is_no_fault_and_another_is(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert clbench("push-folder", "simclr_at.digits", "--out", "hub").status == 0
    done = clbench("push-folder", "simclr_st.digits", "--out", "hub")
    assert done.status == 2
    assert "model.safetensors is there and is another; move it away" in done.err


REFUSED = {
    "a name of nothing": (["simclr_att"], "what is published must be a zoo name with its tag"),
    "no tag": (["simclr_at"], "needs a tag for this data, got none; use 'simclr_at.digits'"),
    "timm's own": (["timm:resnet18"], "must be a zoo name with its tag, such as simclr_at.digits"),
    "code": (
        ["net.py:make"],
        "or a folder that clbench import, train or head made, got 'net.py:make'",
    ),
    "no folder of a model": (["{}"], "must be a zoo name with its tag"),
    "no weights yet": (["simclr_at.cifar100"], "has no weights yet; train it with"),
    "no results": (["simclr_at.digits", "--results", "{}"], "no record"),
    "results of others": (
        ["simclr_st.digits", "--results", "{}/results"],
        "no record under {}/results is of the weights of 'simclr_st.digits'; evaluate it first",
    ),
}


@pytest.mark.usefixtures("evaluated")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_published_is_one_line(clbench, tmp_path, case):
    words, says = REFUSED[case]
    done = clbench("push-folder", *(one.format(tmp_path) for one in words))
    assert (done.status, done.out) == (2, "")
    assert says.format(tmp_path) in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "hub").exists()


def test_a_folder_of_a_hub_is_published_no_second_time(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert clbench("push-folder", "simclr_at.digits", "--out", "hub").status == 0
    done = clbench("push-folder", "hub")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
