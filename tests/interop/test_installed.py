"""Which robustbench is there: intact, overwritten, gutted, edited; and the lines that mend it."""

import sys
import time

import pytest

from clbench.interop.installed import (
    find_installed,
    install_line,
    reinstall_clbench_line,
    require_robustbench,
    requirement_of,
    robustbench_files,
    uninstall_line,
    unmet,
)
from clbench.schema.errors import InstallationError

OWN = {
    "robustbench/__init__.py": "from .eval import benchmark",
    "robustbench/eval.py": "def benchmark(): ...",
    "robustbench/loaders.py": "the same in both",
    "robustbench/zoo.py": "only in robustbench",
}
COPY = {
    "robustbench/__init__.py": "",
    "robustbench/eval.py": "# def benchmark(): ...",
    "robustbench/loaders.py": "the same in both",
    "torchattacks/__init__.py": "import torch",
}
MENDING = "pip install --force-reinstall --no-deps robustbench==1.1.1"


def test_what_is_installed_here_is_sound_and_quickly_seen():
    require_robustbench()
    start = time.process_time()
    require_robustbench()
    assert time.process_time() - start < 0.05


def test_robustbench_installed_last_is_sound(install):
    install("torchattacks", "3.5.1", COPY)
    install("robustbench", "1.1.1", OWN)
    assert robustbench_files() == ("1.1.1", (), (), ())
    require_robustbench()


def test_torchattacks_installed_last_is_refused_with_the_line_that_mends_it(install):
    install("robustbench", "1.1.1", OWN)
    install("torchattacks", "3.5.1", COPY)
    assert robustbench_files().overwritten == ("robustbench/__init__.py", "robustbench/eval.py")
    message = (
        r"robustbench 1.1.1 is damaged: robustbench/__init__.py and 1 more overwritten by "
        rf"torchattacks; run: {MENDING}$"
    )
    with pytest.raises(InstallationError, match=message):
        require_robustbench()


def test_files_that_went_with_torchattacks_are_missed(install, monkeypatch):
    folder = install("robustbench", "1.1.1", OWN)
    monkeypatch.setattr(sys, "path", [str(folder)])
    for name in ("__init__.py", "eval.py", "loaders.py"):
        (folder / "robustbench" / name).unlink()
    with pytest.raises(InstallationError, match=f"and 2 more gone; run: uv {MENDING}$"):
        require_robustbench()


def test_a_copy_in_a_folder_before_it_counts_as_overwritten(install, tmp_path, monkeypatch):
    install("robustbench", "1.1.1", OWN)
    install("torchattacks", "3.5.1", COPY | {"robustbench/eval.py": OWN["robustbench/eval.py"]})
    before = tmp_path / "before"
    (before / "robustbench").mkdir(parents=True)
    for name, text in COPY.items():
        if name.startswith("robustbench"):
            (before / name).write_text(text)
    monkeypatch.syspath_prepend(before)
    assert "robustbench/__init__.py" in robustbench_files().overwritten


def test_an_edited_file_is_noticed_but_not_refused(install):
    folder = install("robustbench", "1.1.1", OWN)
    install("torchattacks", "3.5.1", {})
    install("torchattacks_copy", "0", {})
    (folder / "torchattacks-3.5.1.dist-info" / "RECORD").write_text(
        "robustbench/eval.py,sha256=abc,3\n"
    )
    (folder / "robustbench/eval.py").write_text("def benchmark(): return 1")
    assert robustbench_files().changed == ("robustbench/eval.py",)
    require_robustbench()


def test_a_copy_without_robustbench_is_refused(install, monkeypatch):
    folder = install("torchattacks", "3.5.1", COPY)
    monkeypatch.setattr(sys, "path", [str(folder)])
    with pytest.raises(
        InstallationError, match="only torchattacks' old copy of robustbench is installed; run: "
    ):
        require_robustbench()


def test_no_robustbench_at_all_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(
        InstallationError, match="robustbench is not installed; run: uv pip install r"
    ):
        require_robustbench()


def test_a_bare_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "autoattack").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_installed("autoattack") is None


def test_without_pip_the_lines_are_for_uv(monkeypatch):
    assert install_line("x") == "pip install x"
    assert uninstall_line("x") == "pip uninstall --yes x"
    monkeypatch.setitem(sys.modules, "pip", None)
    assert install_line("x") == "uv pip install x"
    assert uninstall_line("x") == "uv pip uninstall x"


def test_clbench_is_installed_again_from_where_it_came(install):
    folder = install("clbench", "9", {})
    assert reinstall_clbench_line() == "pip install --force-reinstall --no-deps clbench"
    origin = folder / "clbench-9.dist-info" / "direct_url.json"
    origin.write_text('{"url": "file:///code", "dir_info": {}}')
    assert reinstall_clbench_line() == "pip install --force-reinstall --no-deps /code"
    origin.write_text('{"url": "file:///code", "dir_info": {"editable": true}}')
    assert reinstall_clbench_line().endswith(" --editable /code")


def test_a_requirement_is_read_from_clbench_itself(install):
    install("clbench", "9", {}, requires=["torchattacks==3.5.1", "torch>=2.4; extra == 'gpu'"])
    assert requirement_of("torchattacks") == "torchattacks==3.5.1"
    assert requirement_of("torch") == "torch>=2.4"
    assert requirement_of("scipy") == "scipy"


def test_a_source_tree_that_was_never_installed_has_bare_names(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert requirement_of("robustbench") == "robustbench"


def test_unmet_requirements_are_those_that_are_missing_or_of_another_version(install):
    install("requests", "2.32.0", {})
    needs = ["requests~=2.25.1", "no-such-thing>1", "pytest; extra == 'test'", "pip"]
    install("needy", "1", {}, requires=needs)
    assert unmet("needy") == [
        ("requests", "requests~=2.25.1", "2.32.0"),
        ("no-such-thing", "no-such-thing>1", ""),
    ]


def test_requirements_of_what_is_not_installed_are_refused():
    with pytest.raises(InstallationError, match="nothing is not installed; run: pip install not"):
        unmet("nothing")


def test_requirements_need_the_library_that_reads_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    with pytest.raises(InstallationError, match=r"run: pip install packaging$"):
        unmet("clbench")
