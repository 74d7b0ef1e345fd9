"""What is in .github: the workflow is run as it stands, and promises no more than it does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import clbench
from clbench.schema.record_files import record_files

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOW = GITHUB / "workflows" / "submission.yml"
FILES = sorted(GITHUB.rglob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_yaml_is_one(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_workflow_may_read_alone_and_knows_no_secret():
    text = WORKFLOW.read_text()
    table = yaml.safe_load(text)
    assert table["permissions"] == {"contents": "read"}
    assert table[True] == {"pull_request": {"paths": ["submissions/**"]}}  # YAML reads on as true
    assert "secrets" not in text
    assert "pull_request_target" not in text
    steps = [step for job in table["jobs"].values() for step in job["steps"]]
    used = [step["uses"].partition("@") for step in steps if "uses" in step]
    assert all(name.startswith("actions/") and version[1:].isdigit() for name, _, version in used)
    assert all(
        step["with"]["persist-credentials"] is False
        for step in steps
        if step.get("uses", "").startswith("actions/checkout")
    )
    assert not [step for step in steps if "${{" in step.get("run", "")], "texts become commands"


def test_an_issue_asks_for_what_github_can_ask():
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "new_record.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    assert {one["type"] for one in form["body"]} <= {"markdown", "textarea", "input", "checkboxes"}
    names = [one["id"] for one in form["body"] if one["type"] != "markdown"]
    assert len(set(names)) == len(names) == len(form["body"]) - 1


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the last step of the workflow, beside two checkouts."""
    program = tmp_path / "bin" / "clbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W ignore -m clbench "$@"\n')
    program.chmod(0o755)
    table = yaml.safe_load(WORKFLOW.read_text())
    script = table["jobs"]["verify"]["steps"][-1]["run"]
    for name in ("base", "sent"):
        (tmp_path / name / "submissions").mkdir(parents=True)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    around = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def ran():
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path, env=around, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return ran


@pytest.mark.slow
def test_the_workflow_adds_what_holds_and_fails_where_something_does_not(run, tmp_path):
    done = run()
    assert done.returncode == 0, done.stderr
    sent = tmp_path / "sent" / "submissions"
    records = [p for p in record_files(ROOT / "leaderboard") if "digits" in p.parts]
    clbench.bundle(records[0], out=sent / "a b.clbench.zip")
    clbench.bundle(records[1], out=sent / "known.clbench.zip")
    shutil.copy(sent / "known.clbench.zip", tmp_path / "base" / "submissions")
    done = run()
    assert done.returncode == 0, done.stderr
    start, *lines, end = done.stdout.splitlines()
    assert start == f"::stop-commands::{end.strip(':')}"
    assert len(end) == 36
    assert [line for line in lines if "added" in line] == [
        f"added base/{records[0].relative_to(ROOT)}"
    ]
    (sent / "0.clbench.zip").write_bytes(b"PK")
    done = run()
    assert done.returncode == 2
    assert "bundle sent/submissions/0.clbench.zip is cut off, damaged or no archive" in done.stderr
    assert "already there: " in done.stdout
