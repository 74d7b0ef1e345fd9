"""One grammar of a model argument, in every command."""

from pathlib import Path

import pytest
import torch

from clbench.models import load_model
from clbench.models.argument import read_argument
from clbench.schema.errors import BadValueError, UnknownNameError

NET = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with networks and weights of some names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("net.py", "a=b.py", "a=b=c.py", "sub/net.py"):
        (tmp_path / name).write_text(NET)
    for name in ("w.pth", "w", "x=y.pt", "sub/weights.safetensors"):
        torch.save(torch.nn.Linear(64, 10).state_dict(), tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name", "what", "weights"),
    [
        ("simclr_at", "", "simclr_at", None),
        ("timm:resnet18.a1_in1k", "", "timm:resnet18.a1_in1k", None),
        ("net.py:make", "", "net.py:make", None),
        ("mine=simclr_at", "mine", "simclr_at", None),
        ("mine=timm:resnet18", "mine", "timm:resnet18", None),
        ("mine=net.py:make", "mine", "net.py:make", None),
        ("my net, eps=8=net.py:make", "my net, eps", "8=net.py:make", None),
        ("a=b.py:make", "", "a=b.py:make", None),
        ("a=b=c.py:make", "", "a=b=c.py:make", None),
        ("mine=a=b.py:make", "mine", "a=b.py:make", None),
        ("a=absent.py:make", "a", "absent.py:make", None),
        ("simclr_at=w.pth", "", "simclr_at", "w.pth"),
        ("simclr_at=w", "", "simclr_at", "w"),
        ("simclr_at=absent.safetensors", "", "simclr_at", "absent.safetensors"),
        ("simclr_at=absent.pt", "", "simclr_at", "absent.pt"),
        ("simclr_at=absent.pth.tar", "", "simclr_at", "absent.pth.tar"),
        ("net.py:make=w.pth", "", "net.py:make", "w.pth"),
        (
            "sub/net.py:make=sub/weights.safetensors",
            "",
            "sub/net.py:make",
            "sub/weights.safetensors",
        ),
        ("a=b.py:make=w.pth", "", "a=b.py:make", "w.pth"),
        ("mine=net.py:make=w.pth", "mine", "net.py:make", "w.pth"),
        ("mine=a=b.py:make=w.pth", "mine", "a=b.py:make", "w.pth"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_the_argument_is_read(text, name, what, weights):
    assert read_argument(text) == (name, what, weights and Path(weights))


@pytest.mark.parametrize("text", ["=", "=simclr_at", "mine=", "=net.py:make"])
def test_a_side_that_is_empty_is_one_line(text):
    with pytest.raises(BadValueError, match=rf"^model must read like NAME=WHAT .*, got '{text}'$"):
        load_model(text, dataset="digits")


@pytest.mark.usefixtures("folder")
def test_a_name_and_weights_are_given_to_a_network():
    loaded = load_model("mine=net.py:make", dataset="digits")
    assert loaded.name == "mine"
    assert load_model("mine=simclr_at", dataset="digits").scheme == "simclr"


def test_weights_twice_are_one_line(folder):
    with pytest.raises(
        BadValueError, match=r"'net.py:make=w.pth' has its weights, got w too; leave"
    ):
        load_model("net.py:make=w.pth", dataset="digits", weights=Path("w"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("w.pth", r"^'w.pth' is a weights file, not a network; .* add --weights w.pth$"),
        ("w", r"^'w' is a weights file, not a network; .* add --weights w$"),
        (
            "absent.safetensors",
            r"^'absent.safetensors' is a weights file, .* --weights absent.safe",
        ),
        ("sub", r"^'sub' is a folder, not a network; .* add --weights sub/weights.safetensors$"),
        ("resnet18", r"^unknown model 'resnet18'; did you mean 'timm:resnet18'\?$"),
        ("resnet18.a1_in1k", r"^unknown model '.*'; did you mean 'timm:resnet18.a1_in1k'\?$"),
        ("simclr_att", r"^unknown model 'simclr_att'; did you mean 'simclr_at'\?$"),
        ("simclr_at.", r"^unknown model 'simclr_at.'; did you mean 'simclr_at'\?$"),
        ("simclr_at.digit", r"^unknown model .*; did you mean 'simclr_at.digits'\?$"),
        ("qqqqqqq", r"^unknown model 'qqqqqqq'; clbench models lists them$"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_no_network_is_met_with_what_was_meant(name, message):
    with pytest.raises(UnknownNameError, match=message):
        load_model(name, dataset="digits")


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("{folder}/net.py:make", "net.py:make"),
        ("{folder}/sub/net.py:make", "net.py:make"),
        ("../{name}/net.py:make", "net.py:make"),
        ("net.py:make", "net.py:make"),
        ("./net.py:make", "./net.py:make"),
        ("sub/net.py:make", "sub/net.py:make"),
    ],
)
def test_no_folder_of_the_users_machine_is_recorded(folder, given, recorded):
    loaded = load_model(given.format(folder=folder, name=folder.name), dataset="digits")
    assert loaded.name == recorded
    assert folder.name not in loaded.source
    absolute = load_model("net.py:make", dataset="digits").weights_sha256
    assert loaded.weights_sha256 == absolute
