"""What a results folder holds that could go, and what a run at work still needs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clbench
from clbench.evaluation.leftovers import IN_USE, at_work, leftovers
from clbench.schema.errors import RecordError
from clbench.schema.locks import held, is_held

ROOT = Path(__file__).parents[2]
TEMPORARY = f".a.json.{'0' * 32}"


def found(out):
    return {one.path.name: one.what for one in leftovers(out) if one.path.suffix != ".lock"}


@pytest.fixture
def progress(tmp_path):
    """The path of the progress of a run, with that of another run beside it."""
    folder = tmp_path / "progress"
    folder.mkdir()
    for name in ("a~1~8.npz", "a~1~80.npz"):
        (folder / name).write_bytes(b"12345")
    return folder / "a~1~8.npz"


def test_progress_is_in_use_as_long_as_its_own_run_is_at_work(progress, tmp_path):
    idle = {"a~1~8.npz": "progress", "a~1~80.npz": "progress"}
    assert found(tmp_path) == idle
    with at_work(progress):
        assert found(tmp_path) == idle | {"a~1~8.npz": IN_USE}
        with at_work(progress):
            pass
        assert found(tmp_path) == idle | {"a~1~8.npz": IN_USE}
    assert found(tmp_path) == idle
    assert sorted(path.name for path in progress.parent.iterdir()) == sorted(idle)


def test_a_run_that_fails_lets_go(progress, tmp_path):
    def fail():
        with at_work(progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert IN_USE not in found(tmp_path).values()


def test_a_killed_run_lets_go_and_its_lock_is_a_leftover(progress, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; "
        "from clbench.schema.locks import held; lock = held(Path(sys.argv[1])); "
        "lock.__enter__(); print('held', flush=True); time.sleep(60)"
    )
    lock = progress.with_name(f".{progress.name}.{'0' * 32}.lock")
    command = [sys.executable, "-c", code, str(lock)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline().strip() == b"held"
        assert is_held(lock)
        assert found(tmp_path)[progress.name] == IN_USE
        process.send_signal(signal.SIGKILL)
    assert not is_held(lock)
    assert {one.path: one.what for one in leftovers(tmp_path)}[lock] == "killed run"
    assert found(tmp_path)[progress.name] == "progress"


def test_what_is_being_written_is_in_use_for_a_while(tmp_path):
    (tmp_path / TEMPORARY).write_bytes(b"")
    assert found(tmp_path) == {TEMPORARY: IN_USE}
    long_ago = time.time() - 3600
    os.utime(tmp_path / TEMPORARY, (long_ago, long_ago))
    assert found(tmp_path) == {TEMPORARY: "killed write"}


def test_where_files_cannot_be_locked_whoever_is_there_counts(progress, tmp_path, monkeypatch):
    def no_locks(_descriptor):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("clbench.schema.locks._lock", no_locks)
    with at_work(progress):
        assert found(tmp_path)[progress.name] == IN_USE
    assert found(tmp_path)[progress.name] == "progress"


def test_a_lock_that_is_not_there_is_not_held(tmp_path):
    assert not is_held(tmp_path / "nothing.lock")
    with held(tmp_path / "no_folder" / "a.lock"):
        assert not (tmp_path / "no_folder").exists()


def test_a_run_is_cleaned_around_and_ends_as_if_nobody_had(tmp_path):
    from typer.testing import CliRunner

    from clbench.cli import app

    other = tmp_path / "out" / "progress" / "other~1~8.npz"
    told = []

    def clean(_progress):
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(b"12345")
        mine = [path for path in other.parent.glob("*.npz") if path != other]
        told.append(CliRunner().invoke(app, ["clean", str(tmp_path / "out"), "--remove"]).output)
        assert all(path.exists() for path in mine)
        assert not other.exists()
        kept.extend(mine)

    kept, given = [], {"attack": "pgd,steps=2", "n_examples": 12, "batch_size": 4, "probe": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clbench.evaluation.progress.SAVE_EVERY", 0.0)
        patch.setattr("clbench.evaluation.progress._SAVING_SHARE", 1e9)
        done = clbench.evaluate("simclr_at", out=tmp_path / "out", on_progress=clean, **given)
    assert kept
    assert any("what is in use stays (1)" in text for text in told)
    assert done.record.measures == clbench.evaluate("simclr_at", **given).record.measures
    assert not list((tmp_path / "out" / "progress").iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordError, match="there is no folder"):
        leftovers(tmp_path / "nowhere")
