"""Who answers ``import autoattack`` and ``import pkg_resources``, in real environments."""

import importlib
import json
import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pyautoattack
import pytest

import clbench
from clbench.interop.autoattack import attack_package, attack_package_name, published_package
from clbench.interop.autoattack_class import AutoAttack
from clbench.interop.autoattack_state import EvaluationState
from clbench.interop.import_shims import pkg_resources_answered, provide_autoattack
from clbench.schema.errors import InstallationError


@pytest.fixture
def python(tmp_path):
    """Return a function that runs code where some of the installed packages are not."""
    site = tmp_path / "site"
    site.mkdir()

    def run(code, *, without):
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not entry.name.startswith(without):
                (site / entry.name).symlink_to(entry)
        path = os.pathsep.join([str(site), str(Path(clbench.__file__).parents[1])])
        return subprocess.run(
            [sys.executable, "-S", "-W", "ignore", "-c", code],
            env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def _imports_restored(monkeypatch):
    """Take the stand-in away after the test."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "autoattack":
            monkeypatch.delitem(sys.modules, name)
    yield
    attack_package.cache_clear()
    for name in [*sys.modules]:
        if name.partition(".")[0] == "autoattack":
            del sys.modules[name]


@pytest.mark.usefixtures("_imports_restored")
def test_autoattack_is_answered_by_the_classic_class():
    provide_autoattack()
    autoattack = importlib.import_module("autoattack")
    assert autoattack.AutoAttack is AutoAttack
    assert importlib.import_module("autoattack.autoattack").AutoAttack is AutoAttack
    assert importlib.import_module("autoattack.state").EvaluationState is EvaluationState
    assert importlib.import_module("autoattack.checks") is pyautoattack.checks
    assert find_spec("autoattack.square").origin == pyautoattack.square.__file__


@pytest.mark.usefixtures("_imports_restored")
def test_the_stand_in_is_never_taken_for_the_real_one():
    provide_autoattack()
    attack_package.cache_clear()
    assert attack_package() is pyautoattack is published_package()


PACKAGE = "from clbench.interop.autoattack import attack_package as f; print(f().__name__)"
REAL = {
    "autoattack/__init__.py": "AutoAttack = 'the real one'",
    "autoattack/state.py": "EvaluationState = 'its own'",
}


def test_an_autoattack_too_old_for_robustbench_is_refused(install):
    install("autoattack", "0.1", {"autoattack/__init__.py": ""})
    message = (
        "the installed autoattack is too old for robustbench, it has no autoattack.state; "
        "pyautoattack can stand in for it; run: pip uninstall --yes autoattack$"
    )
    with pytest.raises(InstallationError, match=message):
        attack_package_name()


def test_no_autoattack_at_all_is_refused(python):
    assert (
        "InstallationError: AutoAttack is not installed; run: pip install pyautoattack==0.2.0\n"
    ) in python(PACKAGE, without=("pyautoattack",)).stderr


@pytest.mark.usefixtures("_imports_restored")
def test_one_that_cannot_be_imported_is_refused(install):
    attack_package.cache_clear()
    install("autoattack", "0.1", REAL | {"autoattack/__init__.py": "import missing"})
    message = "autoattack cannot be imported: No module named 'missing'; run: pip install autoatt"
    with pytest.raises(InstallationError, match=message):
        attack_package()


@pytest.mark.usefixtures("_imports_restored")
def test_an_installed_autoattack_wins_and_is_left_alone(install):
    attack_package.cache_clear()
    install("autoattack", "0.1", REAL)
    provide_autoattack()
    assert attack_package().__name__ == "autoattack"
    assert importlib.import_module("autoattack").AutoAttack == "the real one"


def test_pkg_resources_is_answered_only_meanwhile(monkeypatch):
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    with pkg_resources_answered():
        stand_in = importlib.import_module("pkg_resources")
        assert Path(stand_in.resource_filename("clbench", "py.typed")).exists()
    assert "pkg_resources" not in sys.modules


def test_robustbench_works_without_pkg_resources(python):
    code = """
import collections, json, sys
import clbench.interop.robustbench
import robustbench.eval, robustbench.loaders
classes = collections.defaultdict(int)
files = robustbench.loaders.make_custom_dataset(
    "root", "helper_files/imagenet_test_image_ids.txt", classes)
print(json.dumps([len(files), "pkg_resources" in sys.modules, robustbench.eval.__name__]))
"""
    done = python(code, without=("pkg_resources", "setuptools", "_distutils_hack", "distutils-"))
    assert json.loads(done.stdout or done.stderr) == [5000, False, "robustbench.eval"]


def test_pkg_resources_is_left_alone_where_it_is():
    with pkg_resources_answered():
        assert find_spec("pkg_resources").origin
