"""Our own records hold, and to ask takes no longer than one is willing to wait."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import clbench
from clbench.schema.record_files import read_record, record_files

OURS = Path(__file__).parents[2] / "leaderboard"
DIGITS = [path for path in record_files(OURS) if read_record(path).data.name == "digits"]


@pytest.mark.parametrize("path", DIGITS, ids=lambda path: path.stem)
def test_the_networks_of_our_digits_say_again_what_the_records_say(path):
    assert clbench.verify(path, level=2).problems == ()


def test_files_of_a_record_are_checked_in_two_seconds_with_the_start_of_python():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "clbench", "verify", DIGITS[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "0 problems" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
