"""The same weights give the same logits, whichever door they come through."""

from dataclasses import replace

import pytest
import timm
import torch

import clbench
from clbench.models import find_spec, load_model, save_weights
from clbench.models.preprocessing import read_preprocessing
from clbench.models.zoo import WEIGHTS_DIR
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError
from clbench.schema.files import sha256_of_file
from tests.models.hub_cache import by_timm, fill_cache, use_cache

COLOUR = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def robustbench():
    """Return RobustBench as clbench makes it work."""
    from clbench.interop import robustbench as interop

    assert interop
    import robustbench

    return robustbench


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return a file of weights for a zoo model, other ones than the package has."""
    network = timm.create_model("simclr_at.cifar10").eval()
    file = tmp_path_factory.mktemp("checkpoint") / "simclr_at.cifar10.safetensors"
    save_weights(network, file)
    return file


def test_three_doors_give_equal_logits(robustbench, checkpoint):
    by_robustbench = robustbench.utils.load_model(
        "simclr_at", dataset="cifar10", threat_model="Linf", custom_checkpoint=str(checkpoint)
    )
    overlay = {"file": str(checkpoint), "custom_load": True}
    by_timm = timm.create_model(
        "simclr_at.cifar10", pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    by_name = load_model("simclr_at", dataset="cifar10", weights=checkpoint).network
    assert type(by_robustbench) is type(by_timm) is type(by_name)
    assert torch.equal(by_robustbench(COLOUR), by_timm(COLOUR))
    assert torch.equal(by_name(COLOUR), by_timm(COLOUR))


@pytest.mark.parametrize(("dataset", "n_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_robustbench_finds_the_network_of_its_data_set(robustbench, dataset, n_classes):
    network = robustbench.utils.load_model("supcon-at", dataset=dataset, threat_model="Linf")
    assert network.num_classes == n_classes
    assert not network.training


def test_robustbench_without_weights_says_how_to_make_them(robustbench):
    network = robustbench.utils.load_model("simclr_at", dataset="cifar100", threat_model="Linf")
    with pytest.raises(
        WeightsError, match=r"^model 'simclr_at.cifar100' has no weights yet; train it"
    ):
        network(COLOUR)


# models of RobustBench


@pytest.mark.usefixtures("robustbench")
def test_model_of_robustbench_is_loaded_from_its_folder(tmp_path, monkeypatch):
    from robustbench.model_zoo.cifar10 import linf

    network = linf["Wong2020Fast"]["model"]().eval()
    folder = tmp_path / "models" / "cifar10" / "Linf"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "Wong2020Fast.pt")
    monkeypatch.chdir(tmp_path)
    loaded = load_model("robustbench:Wong2020Fast", dataset="cifar10")
    assert torch.equal(loaded.network(COLOUR), network(COLOUR))
    assert (loaded.name, loaded.scheme) == ("robustbench:Wong2020Fast", "")
    assert loaded.backbone == type(network).__name__
    assert loaded.weights_sha256 == state_sha256(network)
    assert loaded.source.startswith("robustbench 1.")


@pytest.mark.usefixtures("robustbench")
def test_unknown_model_of_robustbench_is_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'Wong2020Fst'.*did you mean 'Wong2020Fast'\?$"):
        load_model("robustbench:Wong2020Fst", dataset="cifar10")


def test_model_of_robustbench_needs_one_of_its_data_sets():
    message = (
        r"^model 'robustbench:Wong2020Fast' needs a data set, got images \[3, 40, 40\]; "
        "name its data set by a --protocol$"
    )
    with pytest.raises(BadValueError, match=message):
        load_model("robustbench:Wong2020Fast", n_classes=10, shape=(3, 40, 40))


def test_model_of_robustbench_takes_no_weights_file(checkpoint):
    message = (
        r"^model 'robustbench:Wong2020Fast' brings its own weights; leave out --weights .*10\."
    )
    with pytest.raises(BadValueError, match=message):
        load_model("robustbench:Wong2020Fast", dataset="cifar10", weights=checkpoint)


# one network, every door

GREY = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ZOO_ROWS = [("simclr_at", "digits", GREY), ("supervised_st", "cifar10", COLOUR)]


def written(folder, code):
    """Return a user's factory in a file."""
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(code)
    return f"{folder / 'net.py'}:make"


def on_the_hub(folder, tmp_path, monkeypatch):
    """Return the name of a folder on a hub that is not in reach, as this machine has it."""
    fill_cache(tmp_path / "cache", "someone/net", folder)
    use_cache(monkeypatch, tmp_path / "cache")
    return "hf-hub:someone/net"


def same_through(doors, images, **wanted):
    """Return what is the same through every door, by door."""
    found = {}
    for door, (name, options) in doors.items():
        loaded = load_model(name, **wanted, **options)
        answers = loaded.network(images).detach().numpy().tobytes()
        found[door] = (answers, loaded.weights_sha256)
    return found


@pytest.mark.parametrize(("name", "tag", "images"), ZOO_ROWS)
def test_a_network_of_the_zoo_is_the_same_through_every_door(
    robustbench, tmp_path, monkeypatch, name, tag, images
):
    monkeypatch.chdir(tmp_path)
    spec = find_spec(name, tag)
    file = WEIGHTS_DIR / spec.weights.file
    code = (
        "from clbench.models import build_backbone\n"
        f"def make():\n    return build_backbone({spec.backbone!r}, {images.shape[1]}, 10)\n"
    )
    clbench.import_checkpoint(file, arch=spec.backbone, out="imported")
    hub = clbench.push_folder(f"{name}.{tag}", out="hub").folder
    again = clbench.push_folder("imported", out="again").folder
    doors = {
        "zoo": (name, {}),
        "timm": (f"timm:{name}.{tag}", {}),
        "timm with its file": (f"timm:{name}.{tag}", {"weights": file}),
        "file": (written(tmp_path / "own", code), {"weights": file}),
        "import": ("imported", {}),
        "folder": (str(hub), {}),
        "local-dir": (f"local-dir:{hub}", {}),
        "timm's spelling of it": (f"timm:local-dir:{hub}", {}),
        "hub": (on_the_hub(hub, tmp_path, monkeypatch), {}),
        "folder of the imported one": (str(again), {}),
    }
    if tag == "cifar10":
        doors["robustbench"] = (f"robustbench:{name}", {})
    found = same_through(doors, images, dataset=tag)
    assert len(set(found.values())) == 1, {door: one[1] for door, one in found.items()}
    seen = {load_model(one, dataset=tag, **more).preprocessing for one, more in doors.values()}
    assert seen <= {"none", None}

    ((answers, weights),) = set(found.values())
    by_packages = {
        "timm": timm.create_model(f"{name}.{tag}", pretrained=True),
        "timm from the hub": by_timm(hub, "someone/net"),
    }
    if tag == "cifar10":
        by_packages["robustbench"] = robustbench.utils.load_model(
            name, dataset=tag, threat_model="Linf"
        )
    for network in by_packages.values():
        assert network.eval()(images).detach().numpy().tobytes() == answers
        assert state_sha256(network) == weights


@pytest.mark.parametrize("arch", ["resnet10t", "test_vit", "mobilenetv3_small_050"])
def test_a_plain_network_of_timm_is_the_same_through_every_door(tmp_path, monkeypatch, arch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = timm.create_model(arch, num_classes=10).eval()
    size = network.pretrained_cfg["input_size"]
    size = size if network.pretrained_cfg["fixed_input_size"] else (3, 32, 32)
    images = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    save_weights(network, tmp_path / "w.safetensors", half=False)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    mean, std = (network.pretrained_cfg[key] for key in ("mean", "std"))
    code = f"import timm\ndef make():\n    return timm.create_model({arch!r}, num_classes=10)\n"
    own = written(tmp_path / "own", code)
    clbench.import_checkpoint("w.pth", arch=f"timm:{arch}", out="imported")
    hub = clbench.push_folder("imported", out="hub").folder
    by_hand = {"weights": tmp_path / "w.pth"}
    by_hand |= {"preprocessing": read_preprocessing(mean=list(mean), std=list(std))}
    doors = {
        "timm": (f"timm:{arch}", {"weights": tmp_path / "w.safetensors"}),
        "timm with a file of torch": (f"timm:{arch}", {"weights": tmp_path / "w.pth"}),
        "file": (own, by_hand),
        "import": ("imported", {}),
        "folder": (str(hub), {}),
        "local-dir": (f"local-dir:{hub}", {}),
        "hub": (on_the_hub(hub, tmp_path, monkeypatch), {}),
    }
    found = same_through(doors, images, n_classes=10, shape=size)
    assert len(set(found.values())) == 1, {door: one[1] for door, one in found.items()}
    theirs = by_timm(hub, "someone/net").eval()
    plain = (images - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    ((answers, weights),) = set(found.values())
    assert theirs(plain).detach().numpy().tobytes() == answers
    assert state_sha256(theirs) == weights == state_sha256(network)
    assert tuple(theirs.pretrained_cfg["mean"]) == tuple(mean)


def test_a_run_is_known_as_older_records_have_it(tmp_path):
    loaded = load_model("simclr_at", dataset="digits")
    entry = loaded.entry
    older = replace(entry, weights_sha256=entry.file_sha256, file_sha256=None, known_by_file=False)
    assert older.identity_sha256 == entry.identity_sha256 == loaded.file_sha256
    torch.save(loaded.network.state_dict(), tmp_path / "w.pth")
    by_file = load_model("simclr_at", dataset="digits", weights=tmp_path / "w.pth").entry
    assert by_file.identity_sha256 == by_file.weights_sha256 == loaded.weights_sha256
    assert by_file.file_sha256 == sha256_of_file(tmp_path / "w.pth")


def test_a_record_that_is_known_by_no_file_is_refused():
    entry = load_model("simclr_at", dataset="digits").entry
    with pytest.raises(BadValueError, match="known_by_file must go with file_sha256, got none"):
        replace(entry, file_sha256=None)
