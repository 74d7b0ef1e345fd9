"""Each known defect of an installation, made real in a folder at the front of the path."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from clbench.diagnosis import checks, import_checks, parts
from clbench.diagnosis.checks import CHECKS, OTHERS, STEPS, Finding, examine
from clbench.diagnosis.diagnose import diagnose
from clbench.diagnosis.import_checks import Result, try_all
from clbench.models.spec import ModelSpec, WeightsRow
from clbench.models.zoo import ZOO
from clbench.schema.errors import StorageError, WeightsError
from clbench.schema.files import sha256_of

FINE = dict.fromkeys(STEPS, Result(ok=True, said="True"))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder at the front of the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site):
    """Return a function that makes the installer's notes on a distribution."""

    def add(name, version, *requires, record=""):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        (info / "RECORD").write_text(record)

    return add


def find(name, results=FINE):
    """Return what the check called ``name`` finds."""
    return examine(next(check for check in CHECKS if check.name == name), results)


def test_this_installation_has_nothing_that_breaks_us():
    rows = {row.check: row for row in diagnose()}
    assert list(rows) == [check.name for check in CHECKS]
    assert [row for row in rows.values() if row.outcome == "broken"] == []
    assert [row for row in rows.values() if row.outcome == "warning" and not row.mend] == []


def test_everything_that_clbench_needs_is_imported_by_a_check():
    project = Path(checks.__file__).parents[2] / "pyproject.toml"
    needed = tomllib.loads(project.read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", line)[0] for line in needed}
    # what others ask for is named for pip alone; checks of those others look at it
    for_pip = {"requests", "huggingface_hub"}
    imported = {*OTHERS.values(), "torch", "torchvision", "robustbench", "setuptools"}
    assert names == imported | for_pip


def test_an_old_python_is_broken():
    assert checks.check_python(FINE, (3, 10, 4)) == Finding(
        "broken", "3.10.4", "python3.11 -m venv .venv && . .venv/bin/activate"
    )


def test_missing_and_outdated_packages_are_broken(install):
    install("clbench", "9", "no-such-thing>=2", "typer<0.1")
    found = find("requirements")
    assert found.outcome == "broken"
    assert found.found.startswith("no-such-thing>=2 (found none), typer<0.1 (found ")
    assert found.mend == 'pip install "no-such-thing>=2" "typer<0.1"'


def test_a_new_torchattacks_will_overwrite_robustbench_so_the_line_mends_that_too(install):
    install("clbench", "9", "torchattacks==99", "robustbench==1.1.1")
    assert find("requirements").mend == (
        "pip install torchattacks==99 && pip install --force-reinstall --no-deps robustbench==1.1.1"
    )


def test_a_newer_setuptools_is_a_matter_of_its_own(install):
    install("clbench", "9", "setuptools<2")
    assert find("requirements").outcome == "ok"


def test_a_source_tree_that_was_never_installed_is_broken(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find("requirements").found == "clbench is not installed"


def test_torch_of_another_version_than_torchvision_wants_is_broken(install):
    install("torchvision", "0.30.0", "torch==2.16.0")
    found = find("torch")
    assert found.outcome == "broken"
    assert found.found.startswith("torchvision needs torch==2.16.0 (found ")
    assert found.mend == "pip install --force-reinstall torch==2.16.0 torchvision==0.30.0"


def test_torch_for_the_cpu_only_breaks_torchvision(install, site):
    install("torch", "2.15.0+cpu")
    install("torchvision", "0.29.2", "torch==2.15.0")
    (site / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    found = find("torch", FINE | try_all(["torchvision"]))
    assert found.found == (
        "torchvision 0.29.2 cannot be imported: "
        "RuntimeError: operator torchvision::nms does not exist"
    )
    assert found.mend == "pip install --force-reinstall torch==2.15.0 torchvision==0.29.2"


def test_what_needs_torch_is_mended_by_mending_torch():
    lost = dict.fromkeys(STEPS, Result(ok=False, said="No module named 'torch'"))
    mend = find("torch", lost).mend
    assert re.fullmatch(r"pip install --force-reinstall torch==[\d.]+ torchvision==[\d.]+", mend)
    for name in ("robustbench", "hub", "packages", "weights", "cache", "device"):
        assert find(name, lost).mend == mend


def test_robustbench_overwritten_by_torchattacks_is_broken(install, site):
    (site / "robustbench").mkdir()
    (site / "robustbench" / "__init__.py").write_text("")
    digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"  # of nothing
    install("robustbench", "1.1.1", record="robustbench/__init__.py,sha256=other,3\n")
    install("torchattacks", "3.5.1", record=f"robustbench/__init__.py,sha256={digest},0\n")
    assert find("robustbench") == Finding(
        "broken",
        "robustbench 1.1.1 is damaged: robustbench/__init__.py overwritten by torchattacks",
        "pip install --force-reinstall --no-deps robustbench==1.1.1",
    )


def test_an_edited_robustbench_is_a_warning(install, site):
    (site / "robustbench").mkdir()
    (site / "robustbench" / "__init__.py").write_text("")
    install("robustbench", "1.1.1", record="robustbench/__init__.py,sha256=other,3\n")
    install("torchattacks", "3.5.1", record="robustbench/__init__.py,sha256=another,0\n")
    found = find("robustbench")
    assert found.outcome == "warning"
    assert found.found == "robustbench/__init__.py changed by hand"


def test_a_robustbench_that_cannot_be_imported_is_broken(site):
    (site / "failing.py").write_text(
        "from clbench.schema.errors import InstallationError\n"
        "raise InstallationError('robustbench cannot be imported: no x; run: pip install x')"
    )
    results = FINE | {checks.THROUGH_CLBENCH: try_all(["failing"])["failing"]}
    assert find("robustbench", results) == Finding(
        "broken", "InstallationError: robustbench cannot be imported: no x", "pip install x"
    )


def test_a_robustbench_that_crashes_is_broken():
    results = FINE | {checks.THROUGH_CLBENCH: Result(ok=False, said="python ended with status -11")}
    found = find("robustbench", results)
    assert found == Finding(
        "broken", "python ended with status -11", "pip install robustbench==1.1.1"
    )


def test_no_autoattack_at_all_is_broken(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = find("autoattack")
    assert found == Finding("broken", "AutoAttack is not installed", "uv pip install pyautoattack")


def test_pyautoattack_answers_for_autoattack():
    assert find("autoattack").found.startswith("answered by clbench with pyautoattack 0.")


def test_an_installed_autoattack_answers_for_itself(install, site):
    (site / "autoattack").mkdir()
    for name in ("__init__", "state"):
        (site / "autoattack" / f"{name}.py").write_text("")
    install("autoattack", "0.1")
    assert find("autoattack") == Finding("ok", "answered by itself 0.1")


def test_setuptools_without_pkg_resources_is_a_warning(monkeypatch):
    assert find("pkg_resources").outcome == "ok"
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    found = find("pkg_resources")
    assert (found.outcome, found.mend) == ("warning", 'pip install "setuptools<81"')


def test_another_timm_than_robustbench_asks_for_is_a_warning(install):
    install("robustbench", "1.1.1", "timm ==1.0.9")
    install("timm", "1.0.31")
    assert find("robustbench pins") == Finding(
        "warning", "timm==1.0.9 (found 1.0.31)", "pip install timm==1.0.9"
    )


def test_another_requests_than_torchattacks_asks_for_is_a_warning(install):
    install("requests", "2.32.5")
    assert find("torchattacks pins") == Finding(
        "warning", "requests~=2.25.1 (found 2.32.5)", 'pip install "requests~=2.25.1"'
    )


def test_a_package_that_robustbench_asks_for_and_that_is_missing_is_broken(install):
    install("robustbench", "1.1.1", "no-such-thing")
    assert find("robustbench pins").outcome == "broken"


def test_timm_without_a_hub_that_it_can_use_is_a_warning(install):
    install("timm", "1.0.9")
    install("huggingface_hub", "2.4.0")
    found = find("hub", FINE | {checks.HUB: Result(ok=True, said="False")})
    assert found.outcome == "warning"
    assert found.found.startswith("timm 1.0.9 cannot use huggingface_hub 2.4.0: timm's own pre")
    assert found.mend == 'pip install "huggingface_hub<1"'


def test_a_timm_that_cannot_be_imported_is_broken():
    found = find("hub", FINE | {checks.HUB: Result(ok=False, said="no")})
    assert (found.outcome, found.found) == ("broken", "no")


def test_a_package_that_cannot_be_imported_is_broken(site, install):
    (site / "safetensors.py").write_text("import no_such_thing")
    (site / "pandas.py").write_text("raise ValueError('numpy.dtype size changed')")
    install("pandas", "3.0")
    found = find("packages", FINE | try_all(["pandas", "safetensors"]))
    assert found.found == (
        "pandas cannot be imported: ValueError: numpy.dtype size changed; nor can safetensors"
    )
    assert found.mend == "pip install --force-reinstall --no-deps pandas==3.0"


def test_wrong_weights_are_broken():
    results = FINE | {checks.WEIGHTS: Result(ok=False, said="sha256 is abc, expected def")}
    found = find("weights", results)
    assert (found.outcome, found.found) == ("broken", "sha256 is abc, expected def")
    assert found.mend.startswith("pip install --force-reinstall --no-deps ")


def test_weights_are_known_by_their_sha256(monkeypatch, tmp_path):
    monkeypatch.setenv("CLBENCH_CACHE", str(tmp_path))
    unmade = next(spec for spec in ZOO if spec.weights is None)
    row = WeightsRow("mine.safetensors", sha256_of(b"right"))
    monkeypatch.setattr(parts, "ZOO", (ModelSpec("simclr", "at", "digits", "x", row), unmade))
    (tmp_path / row.file).write_bytes(b"right")
    assert parts.weights() == "1 of 2 models have weights here, all as they should be"
    (tmp_path / row.file).write_bytes(b"wrong")
    with pytest.raises(WeightsError, match=r"weights of 'simclr_at\.digits': sha256 is "):
        parts.weights()


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A folder of configuration files, one protocol and one recipe."""
    (tmp_path / "protocols").mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "digits.toml").write_text("epochs = 1")
    monkeypatch.setattr(checks, "config_dir", lambda: tmp_path)
    return tmp_path


def test_configuration_files_that_did_not_come_along_are_broken(configs):
    (configs / "train" / "digits.toml").unlink()
    assert find("configs").found == f"files are missing in {configs}"


def test_a_configuration_file_that_cannot_be_read_is_broken(configs):
    (configs / "train" / "digits.toml").write_text("epochs = ")
    assert find("configs").outcome == "broken"


def test_a_cache_that_cannot_be_written_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("CLBENCH_CACHE", str(tmp_path / "cache"))
    assert parts.cache() == str(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}/cache"):
        parts.cache()
    found = find("cache", FINE | {checks.CACHE: Result(ok=False, said="cannot write x")})
    assert found == Finding("warning", "cannot write x", "export CLBENCH_CACHE=FOLDER")


def test_the_device_is_named():
    assert parts.device().startswith("cuda: " if torch.cuda.is_available() else "cpu, ")
    assert find("device", FINE | {checks.DEVICE: Result(ok=False, said="no")}).outcome == "warning"


def test_what_crashes_is_named_and_the_rest_is_tried_all_the_same(site):
    (site / "crashing.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    (site / "quitting.py").write_text("raise SystemExit(3)")
    (site / "talking.py").write_text("print('hello')\ndef answer(): return 42")
    results = try_all(["talking", "crashing", "quitting", "talking:answer"])
    assert results == {
        "talking": Result(ok=True, said=""),
        "crashing": Result(ok=False, said="python ended with status -11"),
        "quitting": Result(ok=False, said="python ended with status 3"),
        "talking:answer": Result(ok=True, said="42"),
    }


def test_the_other_process_reports_each_step_on_a_line(capsys, site):
    (site / "telling.py").write_text("print('hello', end='')\ndef answer(): return 42")
    import_checks.report(["telling", "telling:answer"])
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [
        'clbench-doctor:["telling", ""]',
        "",
        'clbench-doctor:["telling:answer", "42"]',
    ]


def test_what_never_ends_is_given_up(site, monkeypatch):
    monkeypatch.setattr(import_checks, "_PATIENCE_S", 1)
    (site / "waiting.py").write_text("import time; time.sleep(60)")
    assert try_all(["waiting"]) == {"waiting": Result(ok=False, said="not done after 1 s")}
