import sys

import pytest

from clbench.runtime.local_imports import local_imports
from clbench.runtime.user_code import import_object
from clbench.schema.errors import ModelError


@pytest.fixture
def written(tmp_path):
    """Return a function that writes files below a folder; what they load is unloaded afterwards."""
    before = set(sys.modules)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".py").write_text(text)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(name):
    return import_object("it", str(name), ModelError)


def test_imports_are_found_wherever_they_stand(written):
    folder = written(
        net="import torch, first\ndef late():\n    from space import inner",
        first="from package.part import value",
        package__part="from . import beside\nfrom .beside import value",
        package__beside="import net\nvalue = 1",
        space__inner="",
        unused="",
    )
    (folder / "package" / "__init__.py").write_text("import json")
    found = local_imports(folder / "net.py", folder)
    found = {path.relative_to(folder).as_posix() for path in found}
    assert found == {
        *("net.py", "first.py", "space/inner.py"),
        *("package/__init__.py", "package/part.py", "package/beside.py"),
    }


@pytest.mark.parametrize("text", ["def (", "\0", "import", "from ...... import x"])
def test_what_cannot_be_parsed_imports_nothing(written, text):
    folder = written(net="import broken", broken=text)
    assert local_imports(folder / "net.py", folder) == [folder / "net.py", folder / "broken.py"]


def test_an_edited_helper_is_run_as_it_is_now(written):
    folder = written(net="from helper import value", helper="value = 1")
    assert load(folder / "net.py:value").value == 1
    written(helper="value = 22")
    assert load(folder / "net.py:value").value == 22


def test_helpers_of_two_folders_are_not_taken_for_each_other(written):
    net = "from helper import value"
    folder = written(a__net=net, a__helper="value = 1", b__net=net, b__helper="value = 2")
    a, b = (load(folder / name / "net.py:value") for name in "ab")
    assert (a.value, b.value) == (1, 2)
    assert set(a.code.files()) == set(b.code.files()) == {"net.py", "helper.py"}
    assert a.code.files() != b.code.files()


def test_what_is_imported_by_a_made_up_name_counts_too(written):
    net = "import importlib\nvalue = importlib.import_module('hel' + 'per')"
    folder = written(net=net, helper="")
    assert set(load(folder / "net.py:value").code.files()) == {"net.py", "helper.py"}


def test_what_is_no_module_among_those_loaded_is_passed_over(written, monkeypatch):
    folder = written(net="from helper import value", helper="value = 1")
    code = load(folder / "net.py:value").code
    for number in range(3000):
        monkeypatch.setitem(sys.modules, f"odd{number}", object() if number % 2 else None)
    for _ in range(20):  # of what is annotated, one at random is looked at
        assert set(code.files()) == {"net.py", "helper.py"}


def test_modules_that_were_not_imported_from_files_of_users_stay(written):
    folder = written(net="import json", json="")
    before = sys.modules["json"]
    load(folder / "net.py:json")
    assert sys.modules["json"] is before
