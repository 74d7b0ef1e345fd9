"""Names of models, told right or wrong before anything is loaded."""

import sys

import pytest

from clbench.models.resolve import check_model
from clbench.schema.errors import ClbenchError

WRONG = {
    "simclr_att": "did you mean 'simclr_at'?",
    "mine=simclr_att": "did you mean 'simclr_at'?",
    "simclr_at.cifar10": "model 'simclr_at.cifar10' is of cifar10, but the data is digits",
    "timm:resnet1888": "unknown timm model",
    "local-dir:nowhere": "must be a folder with config.json and model.safetensors, got no folder",
    "timm:local-dir:.": "got none of these in it",
    "resnet18": "did you mean 'timm:resnet18'?",
    "nowhere.py": "names nothing in a file",
    "nowhere.py:make": "there is no file 'nowhere.py'; check the path",
    "folder/net.py:make": "there is no file 'folder/net.py'",
    "no_such_module.net:make": "there is no module 'no_such_module'",
    "w.pt": "is a weights file, not a network",
    "simclr_at=w.pt": "weights w.pt cannot be read: No such file or directory",
    "=net.py:make": "must read like NAME=WHAT",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_name_of_nothing_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClbenchError) as refused:
        check_model(name, dataset="digits")
    assert WRONG[name] in str(refused.value)


def test_what_loading_says_of_a_name_is_said_here(tmp_path, monkeypatch):
    from clbench.models.load import load_model

    monkeypatch.chdir(tmp_path)
    for name in set(WRONG) - {"no_such_module.net:make"}:
        with pytest.raises(ClbenchError) as early:
            check_model(name, dataset="digits")
        with pytest.raises(ClbenchError) as late:
            load_model(name, dataset="digits")
        assert (type(early.value), str(early.value)) == (type(late.value), str(late.value))


def test_models_without_weights_are_told(tmp_path):
    with pytest.raises(ClbenchError, match="has no weights yet; train it with"):
        check_model("simclr_at", dataset="cifar100")
    (tmp_path / "w.pt").write_bytes(b"")
    check_model("simclr_at", dataset="cifar100", weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        *(("simclr_at", one) for one in ("digits", "cifar10", None)),
        *(("SimCLR_AT.digits", one) for one in ("digits", None)),
        ("mine=supcon_at", "digits"),
        ("timm:resnet18", "digits"),
        ("resnet18_w16_like.py:make", None),
        ("torch.nn:Identity", None),
        ("beside.net:make", None),
        ("robustbench:Standard", "cifar10"),
    ],
)
def test_a_name_of_something_is_taken_and_nothing_is_run(name, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet18_w16_like.py").write_text("raise SystemExit")
    (tmp_path / "beside.py").write_text("raise SystemExit")
    check_model(name, dataset=dataset)
    assert "beside" not in sys.modules
