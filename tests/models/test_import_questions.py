"""What no tensor tells of a checkpoint: said by its dialect, by hand or by images, and by whom."""

import argparse
import logging

import numpy as np
import pytest
import torch

import clbench
from clbench.data.image_set import make_image_set
from clbench.models.backbones.architecture import Architecture
from clbench.models.backbones.resnet import CifarResNet, build_backbone
from clbench.models.load import load_model
from clbench.schema.errors import BadValueError, DataError, ModelError
from tests.models import plain_forwards as plain
from tests.models.dialect_files import content, tables
from tests.models.test_import_dialects import dual, images, torch_resnet

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def saved(name, tmp_path, filled, change=lambda whole: None):
    for state in filled.values():
        state.used.update(state)
    whole = content(name, filled)
    change(whole)
    torch.save(whole, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


def logits_of(folder, x):
    with torch.no_grad():
        return load_model(str(folder), n_classes=2, shape=tuple(x.shape[1:])).network(x)


def close(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max()) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("bn", "index"), [("clean", 0), ("adv", 1), (None, 1)])
def test_the_branch_of_batch_norms_that_is_asked_for_is_taken(bn, index, tmp_path):
    filled = tables("dynacl-aff")
    state, x = filled["state_dict"], images(32)
    mean, std = (state[f"normalize.{one}"].view(-1, 1, 1) for one in ("mean", "std"))
    wanted = dual(state, (x - mean) / std, "", "fc", branch=f".bn_list.{index}")
    file = saved("dynacl-aff", tmp_path, filled)
    done = clbench.import_checkpoint(file, bn=bn, out=tmp_path / "model")
    assert done.entry.branch == (bn or "adv")
    assert close(logits_of(tmp_path / "model", x), wanted)


SPELLINGS = {
    ".bn.k": lambda name, k: name.replace("bn1.", f"bn1.bn.{k}.").replace("bn2.", f"bn2.bn.{k}."),
    "bn_clean and bn_adv inside": lambda name, k: name.replace(
        "bn1.", f"bn1.bn_{('clean', 'adv')[k]}."
    ).replace("bn2.", f"bn2.bn_{('clean', 'adv')[k]}."),
    "bn1 and bn1_adv": lambda name, k: (
        name.replace("bn1.", "bn1_adv.").replace("bn2.", "bn2_adv.") if k else name
    ),
}


@torch.no_grad()
@pytest.mark.parametrize("bn", ["clean", "adv"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_other_spellings_of_two_batch_norms(spelling, bn, tmp_path):
    filled, other = tables("pytorch-cifar", 1)["net"], tables("pytorch-cifar", 2)["net"]
    both = {}
    for name, value in filled.items():
        for k, one in enumerate((value, other[name])):
            spelled = SPELLINGS[spelling](name, k)
            if spelled != name or k == 0:
                both[spelled] = one
    if spelling == "bn1 and bn1_adv":
        both = {k: v for k, v in both.items() if ".bn1_adv" not in k or v.ndim <= 1}
    torch.save({"net": both, "acc": 90.0, "epoch": 3}, tmp_path / "c.pth")
    clbench.import_checkpoint(tmp_path / "c.pth", bn=bn, out=tmp_path / "model")
    state = {k: (other[k] if bn == "adv" and ".bn" in k else v) for k, v in filled.items()}
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    x = images(32)
    seen = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    wanted = plain.resnet(state, seen, "module.", "module.linear")
    assert close(logits_of(tmp_path / "model", x), wanted)


# by hand


@torch.no_grad()
@pytest.mark.parametrize("as_text", [True, False])
def test_what_is_said_by_hand_is_done(as_text, tmp_path):
    filled, x = tables("cifar-resnet"), images(32)
    mean, std = IMAGENET
    seen = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    wanted = plain.resnet(filled[""], seen, "", "linear", padding=2)
    if as_text:
        mean, std = (",".join(map(str, one)) for one in (mean, std))
    done = clbench.import_checkpoint(
        saved("cifar-resnet", tmp_path, filled),
        mean=mean,
        std=std,
        stem_padding=2,
        out=tmp_path / "model",
    )
    assert done.entry.decided == {
        "normalisation": "mean 0.485,0.456,0.406 std 0.229,0.224,0.225 (said by hand)",
        "stem_padding": "2 (said by hand)",
    }
    assert close(logits_of(tmp_path / "model", x), wanted)


TOLD = {
    "supcontrast": ({"opt": argparse.Namespace(dataset="cifar100")}, (0.5071, 0.4867, 0.4408)),
    "solo-learn": (
        {"hyper_parameters": {"data": {"dataset": "stl10"}}},
        (0.4914, 0.4823, 0.4466),
    ),
    "solo-learn-linear": ({"hyper_parameters": {"dataset": "CIFAR-100"}}, (0.5071, 0.4865, 0.4409)),
    "solo-learn-moco": (
        {"hyper_parameters": argparse.Namespace(dataset="imagenet100")},
        (0.485, 0.456, 0.406),
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_the_data_set_that_the_file_names_tells_the_normalisation(name, tmp_path):
    beside, mean = TOLD[name]
    file = saved(name, tmp_path, tables(name), lambda whole: whole.update(beside))
    done = clbench.import_checkpoint(file, out=tmp_path / "model")
    assert done.entry.mean == mean
    assert "said by the dialect" in done.entry.decided["normalisation"]


def test_a_data_set_that_the_dialect_does_not_know_is_asked_for(tmp_path):
    beside = {"hyper_parameters": {"dataset": "mine"}}
    file = saved(
        "solo-learn-linear", tmp_path, tables("solo-learn-linear"), lambda w: w.update(beside)
    )
    with pytest.raises(BadValueError, match="tell its normalisation"):
        clbench.import_checkpoint(file, out=tmp_path / "model")


# by images


NORMALISATIONS = {
    "none": ((0.0,) * 3, (1.0,) * 3),
    "ImageNet": IMAGENET,
    "half": ((0.5,) * 3, (0.5,) * 3),
}


def network_with(padding, seed=0):
    torch.manual_seed(seed)
    options = {"block": "basic", "layers": [1, 1, 1, 1], "width": 8, "stem_padding": padding}
    network = Architecture("cifar", "x", options | {"num_classes": 10, "in_chans": 3}).build()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.3)
    return network.eval()


@torch.no_grad()
def its_own_images(network, normalisation, n=400):
    """Return images with a network's own answers as labels, as many of each as there are."""
    mean, std = (torch.tensor(one).view(-1, 1, 1) for one in normalisation)
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    x = (x * torch.rand(n, 3, 1, 1, generator=torch.Generator().manual_seed(6))).clamp(0, 1)
    logits = network((x - mean) / std)
    # each class as often, so that always the same answer is not often right
    return x, (logits - logits.median(dim=0).values).argmax(dim=1), logits


def with_shifted_bias(network, logits):
    network.fc.bias.data -= logits.median(dim=0).values
    return network


@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_images_tell_normalisation_and_padding(name, padding, tmp_path):
    network = network_with(padding)
    x, labels, logits = its_own_images(network, NORMALISATIONS[name])
    with_shifted_bias(network, logits)
    state = network.state_dict()
    kuangliu = {
        k.replace("downsample", "shortcut").replace("fc.", "linear."): v for k, v in state.items()
    }
    torch.save(kuangliu, tmp_path / "c.pth")
    np.savez(tmp_path / "images.npz", x=x.numpy(), y=labels.numpy())
    data = make_image_set("mine", x, labels, 10)
    done = clbench.import_checkpoint(tmp_path / "c.pth", data=data, out=tmp_path / "model")
    assert (done.entry.mean, done.entry.std) == NORMALISATIONS[name]
    assert done.entry.options["stem_padding"] == padding
    assert done.tried[0].startswith("100.0% with normalisation")
    assert "clean accuracy on images" in done.entry.decided["normalisation"]


def test_images_that_tell_nothing_are_refused(tmp_path):
    network = network_with(1)
    x, labels, logits = its_own_images(network, IMAGENET)
    torch.save(
        {
            k.replace("downsample", "shortcut").replace("fc.", "linear."): v
            for k, v in with_shifted_bias(network, logits).state_dict().items()
        },
        tmp_path / "c.pth",
    )
    wrong = make_image_set("mine", x, (labels + 3) % 10, 10)
    with pytest.raises(ModelError, match="hardly more often than chance, however it is read"):
        clbench.import_checkpoint(tmp_path / "c.pth", data=wrong, out=tmp_path / "model")
    few = make_image_set("mine", x[:6], labels[:6], 10)
    with pytest.raises(ModelError, match=r"images do not tell|more often than chance"):
        clbench.import_checkpoint(tmp_path / "c.pth", data=few, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_images_do_not_tell_of_an_encoder(tmp_path):
    file = saved("supcontrast", tmp_path, tables("supcontrast"), lambda w: w.update(opt=3))
    data = make_image_set("mine", torch.rand(8, 3, 32, 32), torch.arange(8), 10)
    with pytest.raises(BadValueError, match="no classifier, so that images do not tell"):
        clbench.import_checkpoint(file, data=data, out=tmp_path / "model")


def test_images_of_more_classes_are_refused(tmp_path):
    file = saved("cifar-resnet", tmp_path, tables("cifar-resnet"))
    data = make_image_set("mine", torch.rand(8, 3, 32, 32), torch.arange(8) + 5, 13)
    with pytest.raises(DataError, match="the network has 10 outputs"):
        clbench.import_checkpoint(file, data=data, out=tmp_path / "model")


def test_images_that_an_encoder_has_no_use_for_are_refused(tmp_path):
    file = saved("rocl", tmp_path, tables("rocl"))
    data = make_image_set("mine", torch.rand(8, 3, 32, 32), torch.arange(8), 10)
    with pytest.raises(BadValueError, match="nothing is open; leave out --data and --dataset"):
        clbench.import_checkpoint(file, data=data, out=tmp_path / "model")


@torch.no_grad()
def test_images_check_what_is_not_open_too(tmp_path):
    filled = tables("acl-tuned")
    state = filled["state_dict"]
    file = saved("acl-tuned", tmp_path, filled)
    mean, std = (state[f"normalize.{one}"].view(-1, 1, 1) for one in ("mean", "std"))
    x = torch.rand(120, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    x *= torch.rand(120, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    labels = torch_resnet(state, (x - mean) / std, "", "fc").argmax(dim=1)
    if labels.bincount().max() > 100:
        labels[:40] = (labels[:40] + 1) % 10
    wrong = make_image_set("mine", x, (labels + 4) % 10, 10)
    with pytest.raises(ModelError, match="hardly more often than chance"):
        clbench.import_checkpoint(file, data=wrong, out=tmp_path / "model")


def test_test_images_decide_nothing(tmp_path):
    file = saved("cifar-resnet", tmp_path, tables("cifar-resnet"))
    with pytest.raises(
        BadValueError, match="test images of 'digits', and none of those may decide"
    ):
        clbench.import_checkpoint(file, data="digits", out=tmp_path / "model")
    with pytest.raises(BadValueError, match="give --data or --dataset, got both"):
        clbench.import_checkpoint(file, data="x.npz", dataset="digits", out=tmp_path / "model")


def test_what_a_dialect_says_stays_unless_images_refute_it(tmp_path, caplog):
    network = network_with(1)
    x, labels, logits = its_own_images(network, IMAGENET)
    state = with_shifted_bias(network, logits).state_dict()
    kuangliu = {
        k.replace("downsample", "shortcut").replace("fc.", "linear."): v for k, v in state.items()
    }
    torch.save({"net": kuangliu, "acc": 1, "epoch": 2}, tmp_path / "c.pth")
    data = make_image_set("mine", x, labels, 10)
    with caplog.at_level(logging.WARNING):
        done = clbench.import_checkpoint(tmp_path / "c.pth", data=data, out=tmp_path / "model")
    assert len(done.tried) > 4
    assert done.entry.std[0] == pytest.approx(0.2023, abs=0.05)


# named architectures


ARCHITECTURES = ("resnet10_w16", "resnet18_w16", "timm:resnetv2_50", "torchvision:squeezenet1_1")


@torch.no_grad()
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("wrap", ["", "module.", "_orig_mod."])
def test_a_named_architecture_takes_a_state_dict_under_its_own_names(arch, wrap, tmp_path):
    from clbench.models.backbones.architecture import named

    torch.manual_seed(0)
    network = named(arch, 7, 3)[0].build().eval()
    torch.save({f"{wrap}{k}": v for k, v in network.state_dict().items()}, tmp_path / "c.pth")
    done = clbench.import_checkpoint(
        tmp_path / "c.pth", arch=arch, mean="0,0,0", std="1,1,1", out=tmp_path / "model"
    )
    assert done.entry.n_classes == 7
    x = images(64)
    assert torch.equal(logits_of(tmp_path / "model", x), network(x))


@torch.no_grad()
@pytest.mark.parametrize("arch", ["resnet10_w16", "resnet18_w16"])
def test_narrow_networks_are_clbenchs_own_and_normalise_nothing(arch, tmp_path):
    network = build_backbone(arch, 3, 10).eval()
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "c.pth")
    done = clbench.import_checkpoint(tmp_path / "c.pth", arch=arch, out=tmp_path / "model")
    assert done.entry.decided["normalisation"] == f"none (said by {arch})"
    x = images(32)
    assert torch.equal(logits_of(tmp_path / "model", x), network(x))


def test_a_wide_one_may_be_anybodys(tmp_path):
    network = build_backbone("resnet18", 3, 10)
    torch.save(network.state_dict(), tmp_path / "c.pth")
    with pytest.raises(BadValueError, match="tell its normalisation"):
        clbench.import_checkpoint(tmp_path / "c.pth", arch="resnet18", out=tmp_path / "model")


@torch.no_grad()
@pytest.mark.parametrize("kind", ["Engstrom2019RobustnessNet", "Rony2019DecouplingNet"])
def test_networks_of_robustbench_are_the_same_by_import(kind, tmp_path):
    from clbench.interop import robustbench

    assert robustbench
    from robustbench.model_zoo import cifar10

    torch.manual_seed(0)
    network = getattr(cifar10, kind)().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), tmp_path / "c.pt")
    clbench.import_checkpoint(tmp_path / "c.pt", out=tmp_path / "model")
    x = images(32)
    assert close(logits_of(tmp_path / "model", x), network(x))


def test_the_networks_of_two_paddings_differ():
    one, two = (
        CifarResNet(torch_block(), (1, 1, 1, 1), width=8, stem_padding=padding).eval()
        for padding in (1, 2)
    )
    two.load_state_dict(one.state_dict())
    assert not torch.allclose(one(images(32)), two(images(32)))


def torch_block():
    from timm.models.resnet import BasicBlock

    return BasicBlock


@torch.no_grad()
def test_a_whole_network_is_imported_by_its_tensors(tmp_path):
    filled = tables("torchvision")
    import torchvision

    network = torchvision.models.resnet18().eval()
    network.load_state_dict(dict(filled[""]))
    torch.save(network, tmp_path / "c.pth")
    clbench.import_checkpoint(tmp_path / "c.pth", out=tmp_path / "model")
    x = images(64)
    mean, std = (torch.tensor(one).view(-1, 1, 1) for one in IMAGENET)
    wanted = torch_resnet(filled[""], (x - mean) / std, "", "fc")
    assert close(logits_of(tmp_path / "model", x), wanted)


@torch.no_grad()
@pytest.mark.parametrize("shortcut_of", ["activated", "input"])
def test_images_tell_where_shortcuts_begin(shortcut_of, tmp_path):
    torch.manual_seed(3)
    options = {"layers": [1, 1, 1, 1], "width": 8, "shortcut_of": shortcut_of}
    network = Architecture("preact", "x", options).build().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.3)
    half = NORMALISATIONS["half"]
    x, labels, logits = its_own_images(network, half)
    state = with_shifted_bias(network, logits).state_dict()
    saved_as = {
        k.replace("downsample", "shortcut").replace("fc.", "linear."): v for k, v in state.items()
    }
    saved_as |= {"mu": torch.full((1, 3, 1, 1), 0.5), "sigma": torch.full((1, 3, 1, 1), 0.5)}
    torch.save(saved_as, tmp_path / "c.pth")
    data = make_image_set("mine", x, labels, 10)
    done = clbench.import_checkpoint(tmp_path / "c.pth", data=data, out=tmp_path / "model")
    assert done.entry.dialect == "robustbench"
    assert done.entry.options["shortcut_of"] == shortcut_of
    assert torch.allclose(logits_of(tmp_path / "model", x), network((x - 0.5) / 0.5), atol=1e-4)


FOLDERS = ("a folder", "net:make", "x=y", "simclr", "ünïcode", "-dash")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_any_name_is_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = network_with(1)
    state = {
        k.replace("downsample", "shortcut").replace("fc.", "linear."): v
        for k, v in network.state_dict().items()
    }
    torch.save(state, "c.pth")
    clbench.import_checkpoint("c.pth", mean="0,0,0", std="1,1,1", out=name)
    loaded = load_model(name, n_classes=10, shape=(3, 16, 16))
    assert loaded.name == name
