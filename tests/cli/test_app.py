import subprocess
import sys
from importlib.metadata import version

import pytest

COMMANDS = ("eval", "models", "attacks", "protocols", "train", "leaderboard", "doctor")


def test_the_version_is_the_packages(clbench):
    assert clbench("--version").out.strip() == version("clbench")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(clbench, command):
    done = clbench(command, "--help")
    assert done.status == 0
    assert "Usage: " in done.out


def test_no_command_shows_them_all(clbench):
    done = clbench()
    assert all(command in done.out + done.err for command in COMMANDS)


def test_an_unknown_option_is_the_users(clbench):
    assert clbench("eval", "--modle", "simclr_at").status == 2


def test_help_imports_nothing_heavy():
    code = """
import sys
sys.argv = ["clbench", "--help"]
from clbench.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "timm", "pandas", "numpy", "sklearn", "robustbench"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_protocols_are_listed(clbench):
    done = clbench("protocols")
    assert "cifar10-linf" in done.out
    assert "Linf 8/255" in done.out


def test_python_m_clbench_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "clbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == version("clbench")
