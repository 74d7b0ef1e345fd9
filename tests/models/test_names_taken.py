"""What is evaluated is what was named, whoever registered a timm model of that name."""

import subprocess
import sys

import pytest
import timm

from clbench.analysis.run import compare_models
from clbench.models import ZOO, load_model
from clbench.models.register import create
from clbench.schema.errors import BadValueError

THEIRS = """
import torch
from timm.models import register_model
from torch import nn

def {name}(pretrained=False, **options):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

{name}.__module__ = __name__
register_model({name})
"""

SHOW = """
try:
    import logging
    from clbench.models import load_model
    {later}
    loaded = load_model({model!r}, dataset={dataset!r})
    print(loaded.weights_sha256[:12], sorted(loaded.network.state_dict())[0], loaded.name)
except Exception as error:
    print(type(error).__name__, error)
"""


def run(folder, *, taken, model, when, dataset="digits"):
    """Load a model in a process where somebody else took a timm name; return what is said."""
    (folder / "theirs.py").write_text(THEIRS.format(name=taken))
    first, later = ("import theirs\n", "") if when == "before" else ("", "import theirs")
    code = first + SHOW.format(later=later, model=model, dataset=dataset)
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("taken", "model"),
    [
        ("simclr_at", "simclr_at"),
        ("simclr_at", "simclr_at.digits"),
        ("simclr_at", "supcon_at"),
        ("supcon_st", "mine=supcon_st"),
        ("simclr_at_cifar10_linf", "simclr_at"),
    ],
)
def test_the_zoo_gives_its_own_network(tmp_path, taken, model, when):
    out, err = run(tmp_path, taken=taken, model=model, when=when)
    own = load_model(model, dataset="digits")
    assert out == f"{own.weights_sha256[:12]} bn1.bias {own.name}"
    if when == "before":
        assert f"timm model '{taken}' is theirs's; clbench's own is --model {taken}" in err


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("taken", "model", "dataset"),
    [
        ("simclr_at", "timm:simclr_at", "digits"),
        ("simclr_at", "timm:simclr_at.digits", "digits"),
        ("simclr_at_cifar10_linf", "timm:simclr_at_cifar10_linf", "cifar10"),
        ("simclr_at_cifar10_linf", "robustbench:simclr_at", "cifar10"),
    ],
)
def test_a_name_of_two_owners_is_refused_with_both(tmp_path, taken, model, dataset, when):
    out, _ = run(tmp_path, taken=taken, model=model, when=when, dataset=dataset)
    assert out.startswith(
        f"ModelError timm model '{taken}' was registered by clbench and by 'theirs'"
    )


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A folder with a network of the user's own."""
    code = "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    (tmp_path / "net.py").write_text(code)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        "simclr_at=net.py:make",
        "SimCLR_AT=net.py:make",
        "simclr_at.digits=net.py:make",
        "supcon_full_at.cifar10=net.py:make",
        "simclr_at=supcon_at",
        "simclr_at.cifar10=simclr_at.digits",
        "simclr_at=timm:supcon_at.digits",
    ],
)
@pytest.mark.usefixtures("net")
def test_a_name_of_the_zoo_is_for_the_zoos_own_network(model):
    name = model.partition("=")[0]
    with pytest.raises(BadValueError, match=f"^the name '{name}' is of a model of the zoo, got it"):
        load_model(model, dataset="digits")
    with pytest.raises(BadValueError, match=f"^the name '{name}' is of a model of the zoo, got it"):
        compare_models([model], n_examples=8)


@pytest.mark.parametrize(
    "model",
    [
        "simclr_at=simclr_at.digits",
        "simclr_at.digits=simclr_at",
        "simclr_at=timm:simclr_at.digits",
        "mine=supcon_at",
        "simclr=net.py:make",
        "simclr_at@2=net.py:make",
    ],
)
@pytest.mark.usefixtures("net")
def test_other_names_may_be_given(model):
    assert load_model(model, dataset="digits").name == model.partition("=")[0]


@pytest.mark.parametrize("spec", [row for row in ZOO if row.weights], ids=lambda s: s.full_name)
def test_rows_built_past_timms_table_are_those_in_it(spec):
    ours = create(spec).eval().state_dict()
    theirs = timm.create_model(spec.full_name, pretrained=True).eval().state_dict()
    assert all(ours[key].equal(value) for key, value in theirs.items())
