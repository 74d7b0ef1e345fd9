import subprocess
import sys
from importlib.metadata import version

import pytest

COMMANDS = (
    "eval",
    "show",
    "compare",
    "models",
    "attacks",
    "protocols",
    "measures",
    "train",
    "leaderboard",
    "doctor",
)


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
    done = clbench("eval", "--modell", "simclr_at")
    assert done.status == 2
    assert "(Possible options: --model); see" in done.err


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


@pytest.mark.parametrize(
    ("option", "begun", "complete"),
    [
        ("--model", "simclr_", "simclr_at"),
        ("--attack", "torchattacks:MI", "torchattacks:MIFGSM"),
        ("--attack", "auto", "autoattack"),
        ("--norm", "L", "Linf"),
        ("--protocol", "cifar10-l", "cifar10-linf"),
        ("--backend", "nat", "native"),
    ],
)
def test_names_are_completed(option, begun, complete):
    import typer

    from clbench.cli import app

    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), "eval")
    context = typer.Context(command)
    (parameter,) = [one for one in command.get_params(context) if option in one.opts]
    assert complete in [item.value for item in parameter.shell_complete(context, begun)]


def test_the_help_has_sections_examples_and_exit_statuses(clbench):
    text = clbench("eval", "--help").out
    for heading in ("Models and images:", "Attack:", "Run:", "Output:", "Examples:"):
        assert f"\n{heading}" in text or f"\n  {heading}" in text
    assert all(status in text for status in ("130", "143", "129"))


def test_protocols_are_listed(clbench):
    done = clbench("protocols")
    assert "cifar10-linf" in done.out
    assert "Linf 8/255" in done.out


def test_python_m_clbench_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "clbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == version("clbench")
