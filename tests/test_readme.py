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
MAIN_JOB, *OURS = [line.split("&&")[-1].strip() for line in COMMANDS if "clbench " in line]


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


def test_the_readme_names_the_two_commands_everyone_needs():
    assert "pip install . && clbench eval --model simclr_at" in COMMANDS
    assert 'pip install ".[test]" && pytest' in COMMANDS


@pytest.fixture
def run_forked(fork, empty_folder):
    """Return a function that runs a command, or code: its status and what it wrote to stderr."""

    def run(given):
        child = fork(given, empty_folder)
        return child.status(), child.err.read_text()

    return run


@pytest.mark.slow
def test_the_main_job_works_as_it_stands(empty_folder):
    words = [sys.executable, "-m", *shlex.split(MAIN_JOB)]
    done = subprocess.run(words, cwd=empty_folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", OURS)
def test_a_command_of_the_readme_works_as_it_stands(run_forked, command):
    status, written = run_forked(shlex.split(command))
    assert status == 0, written
    assert "Warning" not in written


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_of_the_readme_works_as_it_stands(run_forked, code):
    status, written = run_forked(code)
    assert status == 0, written
