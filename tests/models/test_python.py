import sys
from importlib.metadata import EntryPoint

import pytest
from torch import nn

from clbench.models import load_model
from clbench.models.interface import Wanted
from clbench.models.sources.python import ENTRY_POINT_GROUP, load_from_package, registered_models
from clbench.schema.errors import ModelError, UnknownNameError

CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
    def forward(self, images):
        return self.fc(images.flatten(1))

class Zoo:
    make = Net

def make_net(): return Net()
def make_dict(): return {}
def make_argument(width): return Net()
def make_trouble(): raise KeyError("lost\\nkey")
def make_exit(): raise SystemExit(3)
net = Net()
number = 3
"""


@pytest.fixture
def code(tmp_path):
    """Return the path of a user's file with good and bad factories."""
    (tmp_path / "net.py").write_text(CODE)
    return tmp_path / "net.py"


def load(name):
    return load_model(str(name), dataset="digits")


@pytest.mark.parametrize("factory", ["make_net", "Net", "Zoo.make"])
def test_factory_in_a_file_is_called(code, factory):
    loaded = load(f"{code}:{factory}")
    assert loaded.name == f"net.py:{factory}"  # no folder of anybody's machine
    assert loaded.backbone == type(loaded.network).__name__ == "Net"
    assert (loaded.scheme, loaded.scenario, loaded.tag) == ("", "", "")
    assert not loaded.network.training
    assert len(loaded.weights_sha256) == 64


def test_file_may_have_any_ending(code):
    other = code.rename(code.with_suffix(".txt"))
    assert isinstance(load(f"{other}:make_net").network, nn.Module)


def test_source_of_a_file_changes_with_its_content(code):
    before = load(f"{code}:make_net").source
    code.write_text(CODE + "\n# edited\n")
    after = load(f"{code}:make_net").source
    assert before.startswith("net.py:make_net sha256:")
    assert before != after


def test_file_may_import_its_neighbours(code):
    (code.parent / "neighbour_of_net.py").write_text("WIDTH = 64\n")
    code.write_text("from neighbour_of_net import WIDTH\n" + CODE)
    path = list(sys.path)
    assert isinstance(load(f"{code}:make_net").network, nn.Module)
    assert sys.path == path


def test_module_is_found_in_the_working_folder(code, monkeypatch):
    (code.parent / "package_of_nets").mkdir()
    code.rename(code.parent / "package_of_nets" / "mine.py")
    monkeypatch.chdir(code.parent)
    loaded = load("package_of_nets.mine:make_net")
    assert loaded.source.startswith("package_of_nets.mine:make_net sha256:")


def test_missing_file_is_named():
    with pytest.raises(
        ModelError, match=r"^model 'no/net.py:make': there is no file 'no/net.py'; "
    ):
        load("no/net.py:make")


@pytest.mark.parametrize("name", ["net.py", "net.py:", ":make_net"])
def test_missing_factory_is_asked_for(name):
    message = f"^model '{name}' names nothing in a file; write it as FILE.py:NAME$"
    with pytest.raises(ModelError, match=message):
        load(name)


def test_missing_module_is_named():
    message = (
        "^model 'no_such.mod:make': importing 'no_such.mod' raised ModuleNotFoundError: "
        "No module named 'no_such'; write FILE.py:NAME for a file$"
    )
    with pytest.raises(ModelError, match=message):
        load("no_such.mod:make")


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("import no_such", r"ModuleNotFoundError: No module named 'no_such'$"),
        ("def make(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("exit(3)", "SystemExit: 3"),
    ],
)
def test_file_that_cannot_be_imported_says_why(code, broken, error):
    code.write_text(broken)
    with pytest.raises(ModelError, match=rf"^model '.*': importing '.*net.py' raised {error}"):
        load(f"{code}:make_net")
    assert "clbench_user_net" not in sys.modules


def test_mistyped_factory_is_met_with_the_nearest(code):
    with pytest.raises(ModelError, match=r"there is no 'make_ne' in it; did you mean 'make_net'?"):
        load(f"{code}:make_ne")


def test_unknown_factory_is_named(code):
    with pytest.raises(ModelError, match=r"there is no 'zzz' in it; check its name$"):
        load(f"{code}:zzz")


@pytest.mark.parametrize(("factory", "kind"), [("number", "int"), ("net", "Net")])
def test_object_in_place_of_a_factory_is_refused(code, factory, kind):
    message = (
        f"^model '.*:{factory}' must be a function without arguments that returns an nn.Module, "
        f"got an object of type {kind}$"
    )
    with pytest.raises(ModelError, match=message):
        load(f"{code}:{factory}")


@pytest.mark.parametrize(
    ("factory", "error"),
    [
        ("make_trouble", r"KeyError: 'lost\\nkey' \(net.py, line \d+\)"),
        ("make_argument", r"TypeError: make_argument\(\) missing 1 required .* 'width'"),
        ("make_exit", r"SystemExit: 3 \(net.py, line \d+\)"),
    ],
)
def test_factory_that_raises_is_quoted(code, factory, error):
    message = rf"^model '.*:{factory}': its factory raised {error}$"
    with pytest.raises(ModelError, match=message) as caught:
        load(f"{code}:{factory}")
    assert caught.value.__cause__ is not None


def test_factory_that_returns_no_network_is_refused(code):
    with pytest.raises(ModelError, match=r"that returns an nn.Module, it returned dict$"):
        load(f"{code}:make_dict")


def install(folder, points, package="nets"):
    """Write what pip would write of a package that registers models."""
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"[{ENTRY_POINT_GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_registered_model_is_found_by_its_name(code, monkeypatch):
    code.rename(code.parent / "registered_nets.py")
    install(code.parent, {"my_net": "registered_nets:make_net"})
    monkeypatch.syspath_prepend(code.parent)
    assert list(registered_models()) == ["my_net"]
    loaded = load("my_net")
    assert (loaded.name, loaded.backbone) == ("my_net", "Net")
    assert loaded.source == "registered_nets:make_net of nets 1.2"


@pytest.mark.parametrize("name", ["simclr_at", "simclr_at.digits"])
def test_a_package_that_takes_a_name_of_the_zoo_is_told_of(code, monkeypatch, name):
    install(code.parent, {name: "registered_nets:make_net"})
    monkeypatch.syspath_prepend(code.parent)
    message = (
        rf"^model '{name}' was registered by clbench and by registered_nets:make_net; name the one "
        rf"that is meant: --model registered_nets:make_net; clbench's own is --model timm:{name}$"
    )
    with pytest.raises(ModelError, match=message):
        load(name)
    assert load(f"timm:{name}").network.num_classes == 10


def test_two_packages_of_one_name_are_told_of(code, monkeypatch):
    install(code.parent, {"my_net": "registered_nets:make_net"})
    install(code.parent, {"my_net": "other_nets:make_net"}, package="others")
    monkeypatch.syspath_prepend(code.parent)
    with pytest.raises(
        ModelError, match=r"by other_nets:make_net and by registered_nets:make_net; "
    ):
        load("my_net")


def test_registered_model_is_suggested_for_a_mistyped_name(code, monkeypatch):
    install(code.parent, {"my_net": "registered_nets:make_net"})
    monkeypatch.syspath_prepend(code.parent)
    with pytest.raises(
        UnknownNameError, match=r"^unknown model 'my_nett'; did you mean 'my_net'\?"
    ):
        load("my_nett")


def test_registered_model_that_cannot_be_imported_says_why():
    point = EntryPoint("my_net", "no_such_module:make", ENTRY_POINT_GROUP)
    message = (
        "^model 'my_net': importing 'no_such_module:make' raised ModuleNotFoundError: "
        "No module named 'no_such_module'$"
    )
    with pytest.raises(ModelError, match=message):
        load_from_package("my_net", point, Wanted(None, (1, 8, 8), 10, "Linf", None))
