"""``clbench import``: from a checkpoint to a number in two commands, or one line."""

import json

import numpy as np
import pytest
import torch

from clbench.models import save_weights
from clbench.models.load import load_model
from clbench.schema.record_files import read_records
from tests.models.dialect_files import content, tables


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Checkpoints as their projects write them, by name."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("rocl", "pytorch-cifar", "torchvision", "cifar-resnet"):
        filled = tables(name)
        for state in filled.values():
            state.used.update(state)
        torch.save(content(name, filled), folder / f"{name}.pth")
    return folder


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.random((8, 32, 32, 3), dtype=np.float32)
    np.savez(tmp_path / "pictures.npz", x=x, y=np.arange(8) % 10)
    return tmp_path / "pictures.npz"


def test_two_commands_from_a_checkpoint_to_a_robust_accuracy(clbench, files, pictures, tmp_path):
    out = tmp_path / "mine"
    done = clbench("import", files / "pytorch-cifar.pth", "--out", out)
    assert done.status == 0, done.err
    assert "dialect pytorch-cifar: it has 'layer1.0.conv1.weight'" in done.out
    assert "architecture resnet18, 10 classes" in done.out
    assert "std 0.2023,0.1994,0.201 (said by the dialect pytorch-cifar)" in done.out
    assert f"next: clbench eval --model {out}" in done.out
    assert sorted(one.name for one in out.iterdir()) == [
        *("card.md", "model.json", "weights.safetensors")
    ]
    results = tmp_path / "results"
    done = clbench(
        *("eval", "--model", out, "--data", pictures, "--norm", "Linf", "--eps", "1/255"),
        *("--attack", "pgd,steps=1", "--out", results, "--no-probe", "--quiet"),
    )
    assert done.status == 0, done.err
    (record,) = read_records(results)
    assert record.model.name == "mine"
    assert record.model.source == "imported from pytorch-cifar.pth (pytorch-cifar)"
    assert record.model.preprocessing.startswith("normalised by mean 0.4914,0.4822,0.4465")
    assert str(tmp_path) not in json.dumps(record.model.__dict__, default=str)
    entry = json.loads((out / "model.json").read_text())
    assert record.model.weights_sha256 == entry["weights_sha256"]


def test_json_holds_all_that_was_found(clbench, files, tmp_path):
    done = clbench("import", files / "rocl.pth", "--out", tmp_path / "rocl", "--json")
    found = json.loads(done.out)
    assert found["entry"]["dialect"] == "rocl"
    assert found["entry"]["n_classes"] == 0
    assert found["folder"] == str(tmp_path / "rocl")


def test_an_encoder_is_probed_and_not_evaluated(clbench, files, pictures, tmp_path):
    out = tmp_path / "encoder"
    assert clbench("import", files / "rocl.pth", "--out", out).status == 0
    common = ("--data", pictures)
    done = clbench("eval", "--model", out, *common, "--norm", "Linf", "--eps", "1/255")
    assert done.status == 2
    (line,) = done.err.splitlines()[-1:]
    assert "model 'encoder' has no classifier: it is an encoder" in line
    done = clbench(
        *("probe", "--model", out, *common, "--comparison", "clean-clean"),
        *("--out", tmp_path / "findings", "--quiet"),
    )
    assert done.status == 0, done.err


REFUSED = {
    "no such file": (["nothing.pth"], "cannot be read"),
    "an open question": (["{}/cifar-resnet.pth"], "say it by --mean and --std"),
    "another dialect": (["{}/rocl.pth", "--dialect", "dino"], "not in the dialect 'dino'"),
    "no branches": (["{}/rocl.pth", "--bn", "adv"], "one batch norm in each place"),
    "half of a normalisation": (["{}/rocl.pth", "--std", "1,1,1"], "got no mean"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_status_2(case, clbench, files, tmp_path):
    words, said = REFUSED[case]
    done = clbench("import", *(one.format(files) for one in words), "--out", tmp_path / "out")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert said in done.err
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_doors_give_equal_logits_and_the_same_sum(clbench, files, tmp_path):
    out = tmp_path / "door"
    assert clbench("import", files / "torchvision.pth", "--out", out).status == 0
    asked = {"n_classes": 1000, "shape": (3, 64, 64)}
    by_folder = load_model(str(out), **asked)
    by_timm = load_model("timm:resnet18", weights=files / "torchvision.pth", **asked)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(by_folder.network(x), by_timm.network(x))
    assert by_folder.weights_sha256 == by_timm.weights_sha256
    named = load_model(f"mine={out}", **asked)
    assert named.name == "mine"


def test_a_folder_that_train_made_is_a_model_too(tmp_path):
    network = load_model("simclr_at", dataset="digits").network
    folder = tmp_path / "run"
    folder.mkdir()
    about = {"model": "simclr_at.digits", "backbone": "resnet18_w16"}
    save_weights(network, folder / "weights.safetensors", half=False, about=about)
    loaded = load_model(str(folder), dataset="digits")
    assert (loaded.name, loaded.scheme, loaded.scenario) == ("simclr_at", "simclr", "at")
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.network(x), network(x))


def damage_weights(folder):
    other = load_model(str(folder), n_classes=10, shape=(3, 32, 32)).network
    with torch.no_grad():
        next(other.parameters()).add_(1)
    save_weights(other, folder / "weights.safetensors", half=False)


def damage_entry(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace("0.4914", "0.5914", 1))


def remove_weights(folder):
    (folder / "weights.safetensors").unlink()


DAMAGED = {
    "other weights": (damage_weights, "are not those of model.json beside them"),
    "an altered entry": (damage_entry, "import the checkpoint again"),
    "no weights": (remove_weights, "cannot be read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_folder_that_was_changed_is_refused(case, clbench, files, pictures, tmp_path):
    change, said = DAMAGED[case]
    out = tmp_path / "changed"
    assert clbench("import", files / "pytorch-cifar.pth", "--out", out).status == 0
    change(out)
    done = clbench("eval", "--model", out, "--data", pictures, "--norm", "Linf", "--eps", "1/255")
    assert done.status == 2
    assert said in done.err.splitlines()[-1]


def test_weights_beside_a_folder_are_refused(clbench, files, pictures, tmp_path):
    out = tmp_path / "twice"
    assert clbench("import", files / "pytorch-cifar.pth", "--out", out).status == 0
    done = clbench(
        *("eval", "--model", out, "--data", pictures, "--norm", "Linf", "--eps", "1/255"),
        *("--weights", files / "rocl.pth"),
    )
    assert done.status == 2
    assert "has its weights, got" in done.err


def test_validation_images_of_a_data_set_tell_what_is_open(clbench, tmp_path):
    network = load_model("supervised_at", dataset="digits").network
    file = tmp_path / "best.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, file)
    done = clbench("import", file, "--out", tmp_path / "open")
    assert done.status == 2
    assert "tell its normalisation (none or mean 0.5 std 0.5)" in done.err
    done = clbench("import", file, "--dataset", "digits", "--out", tmp_path / "told")
    assert done.status == 0, done.err
    assert "architecture resnet18_w16, 10 classes" in done.out
    assert "clean accuracy 9" in done.out
    loaded = load_model(str(tmp_path / "told"), dataset="digits")
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded.network(x), network(x))
    assert loaded.preprocessing == "none"
