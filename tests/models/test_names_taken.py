"""What is evaluated is what was named, whoever registered a timm model of that name."""

import subprocess
import sys
from functools import cache

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
import logging
from clbench.models import load_model
{later}
for model, dataset in {asked!r}:
    try:
        loaded = load_model(model, dataset=dataset)
        print(loaded.weights_sha256[:12], sorted(loaded.network.state_dict())[0], loaded.name)
    except Exception as error:
        print(type(error).__name__, error)
"""

OWN = {
    "simclr_at": ["simclr_at", "simclr_at.digits", "supcon_at"],
    "supcon_st": ["mine=supcon_st"],
    "simclr_at_cifar10_linf": ["simclr_at"],
}
"""Of a timm name that somebody else took, models that are the zoo's all the same."""

REFUSED = {
    "simclr_at": [("timm:simclr_at", "digits"), ("timm:simclr_at.digits", "digits")],
    "simclr_at_cifar10_linf": [
        ("timm:simclr_at_cifar10_linf", "cifar10"),
        ("robustbench:simclr_at", "cifar10"),
    ],
}
"""And models of two owners, with their data set."""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return a function that loads all these where a name was taken, and what is said of each."""

    @cache
    def load(when):
        folder = tmp_path_factory.mktemp("taken")
        (folder / "theirs.py").write_text("".join(THEIRS.format(name=name) for name in OWN))
        asked = [(model, "digits") for own in OWN.values() for model in own]
        asked += [one for refused in REFUSED.values() for one in refused]
        first, later = ("import theirs\n", "") if when == "before" else ("", "import theirs")
        code = first + SHOW.format(later=later, asked=asked)
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return dict(zip(asked, done.stdout.splitlines(), strict=True)), done.stderr

    return load


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("taken", "model"), [(one, m) for one, own in OWN.items() for m in own])
def test_the_zoo_gives_its_own_network(said, taken, model, when):
    lines, err = said(when)
    own = load_model(model, dataset="digits")
    assert lines[model, "digits"] == f"{own.weights_sha256[:12]} bn1.bias {own.name}"
    if when == "before":
        assert f"timm model '{taken}' is theirs's; clbench's own is --model {taken}" in err


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("taken", "asked"), [(one, a) for one, of in REFUSED.items() for a in of])
def test_a_name_of_two_owners_is_refused_with_both(said, taken, asked, when):
    lines, _ = said(when)
    assert lines[asked].startswith(
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
