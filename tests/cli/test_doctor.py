"""What ``clbench doctor`` shows and how it exits."""

import json

import pytest
import typer
from typer.testing import CliRunner

import clbench.diagnosis.diagnose
from clbench.cli.doctor import doctor
from clbench.diagnosis.diagnose import Row

FINE = Row("python", "version of Python", "ok", "3.11.7", "")
WORKED_AROUND = Row("hub", "timm and hub", "warning", "timm [says] no", 'pip install "hub<1"')
DAMAGED = Row("robustbench", "its files", "broken", "overwritten", "pip install " + "x" * 200)


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the command where these rows are what is found."""
    app = typer.Typer()
    app.command()(doctor)

    def call(rows, *options):
        monkeypatch.setattr(clbench.diagnosis.diagnose, "diagnose", lambda: rows)
        return CliRunner().invoke(app, options)

    return call


def test_a_sound_installation_exits_with_0(run):
    done = run([FINE])
    assert done.exit_code == 0
    assert done.stdout.split() == ["ok", "python", "3.11.7"]


def test_a_warning_is_shown_with_its_line_and_exits_with_0(run):
    done = run([FINE, WORKED_AROUND])
    assert done.exit_code == 0
    assert "warning  hub     timm [says] no" in done.stdout
    assert 'to mend hub:\n  pip install "hub<1"\n' in done.stdout


def test_what_is_broken_exits_with_2_and_its_line_is_never_wrapped(run):
    done = run([FINE, DAMAGED])
    assert done.exit_code == 2
    assert f"\n  {DAMAGED.mend}\n" in done.stdout


def test_what_one_line_mends_is_said_once(run):
    done = run([DAMAGED, DAMAGED._replace(check="packages")])
    assert done.stdout.count(DAMAGED.mend) == 1
    assert "to mend robustbench, packages:" in done.stdout


def test_json_has_every_field_and_the_same_exit_status(run):
    done = run([WORKED_AROUND, DAMAGED], "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == [WORKED_AROUND._asdict(), DAMAGED._asdict()]
