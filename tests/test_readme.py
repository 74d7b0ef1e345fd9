"""Every command and every line of Python in the README is run, in an empty folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
OURS = [line.split("&&")[-1].strip() for line in COMMANDS if "clbench " in line]


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


def test_the_readme_names_the_two_commands_everyone_needs():
    assert "pip install . && clbench eval --model simclr_at" in COMMANDS
    assert 'pip install ".[test]" && pytest' in COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("command", OURS)
def test_a_command_of_the_readme_works_as_it_stands(empty_folder, command):
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=empty_folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_of_the_readme_works_as_it_stands(empty_folder, code):
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=empty_folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
