"""Several evaluations in one folder at once, and kills at every moment at which files change."""

import os

import pytest

from clbench.leaderboard.check import check
from clbench.schema.record_files import read_records

IMPORTED = """
import clbench.attacks.registry, clbench.data.load, clbench.data.splits, clbench.evaluation.session
import clbench.leaderboard.table, clbench.models.load, clbench.probes.table
clbench.load_model("simclr_at", dataset="digits")
"""
"""Once, before all forks."""

SIDE_BY_SIDE = """
import os, sys
import torch
import clbench
torch.set_num_threads(1)
out = sys.argv[1]
settings = [(a, e) for a in ("pgd,steps=2", "pgd,steps=3") for e in ("1/10", "1/8", "1/5", "1/4")]
children = []
for attack, eps in settings:
    child = os.fork()
    if child == 0:
        clbench.evaluate("simclr_at", attack=attack, eps=eps, n_examples=8, probe=False, out=out)
        os._exit(0)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""

KILLS = """
import os, signal, sys
from pathlib import Path
import torch
import clbench
torch.set_num_threads(1)
out = Path(sys.argv[1])

def run():
    clbench.evaluate("simclr_at", attack="pgd,steps=2", n_examples=8, batch_size=4, probe=False,
                     out=out)

def counted(die_at):
    'Die just before the call of that number which changes what files there are.'
    calls = [0]
    def watched(change):
        def call(*args, **named):
            calls[0] += 1
            if calls[0] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **named)
        return call
    Path.replace, Path.unlink = watched(Path.replace), watched(Path.unlink)
    Path.rename = watched(Path.rename)
    return calls

def forked(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def killed_at(number):
    def work():
        counted(number)
        run()
    return forked(work)

number = 0
while True:
    number += 1
    for file in sorted(out.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    if killed_at(number) == 0:
        break
    assert forked(run) == 0
    left = [path for path in (out / "progress").iterdir()]
    rows = (out / "leaderboard.csv").read_text().count("\\n") - 1
    records = len(list((out / "records").rglob("*.json")))
    evidence = len(list((out / "evidence").rglob("*~*.npz")))
    temporary = [path for path in left if not path.name.startswith(".")]
    print(number, rows, records, evidence, len(temporary))
"""


@pytest.fixture
def forks(fork):
    """Return a function that runs code in a process, and returns what it prints."""

    def run(script, folder):
        child = fork(IMPORTED + script, folder, folder)
        assert child.status() == 0, child.err.read_text()
        return child.out.read_text()

    return run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_eight_runs_of_one_model_at_once_keep_eight_rows(forks, tmp_path):
    assert forks(SIDE_BY_SIDE, tmp_path).strip() == str([0] * 8)
    assert len(read_records(tmp_path)) == 8
    assert (tmp_path / "leaderboard.csv").read_text().count("\n") == 9
    assert check(tmp_path).problems == ()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_run_killed_wherever_files_change_is_completed_by_the_same_command(forks, tmp_path):
    lines = forks(KILLS, tmp_path).split("\n")[:-1]
    assert len(lines) >= 5
    assert [line.split()[1:] for line in lines] == [["1", "1", "1", "0"]] * len(lines)
