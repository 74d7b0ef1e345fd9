"""Runs ``python -m clbench ARGUMENTS`` again and again, killed at ever later points, until it ends.

A file is written by giving it its name, so what a kill leaves behind depends on nothing but the
names given before it: the first run is killed before the first name, the second one before its
second, and so on. Says how many rows the log has after each kill. A run is a fork of this process,
which has imported everything already, so that one costs a fraction of a second.
"""

import itertools
import os
import runpy
import signal
import sys
from pathlib import Path

import torch

import clbench.cli.render.training_progress
import clbench.training.loop  # noqa: F401 - what a run imports


def kill_before_name(number):
    """Kill this process when it is about to give a file its name for the so many-th time."""
    numbers = itertools.count(1)

    def watch(event, _):
        if event == "os.rename" and next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def run(arguments, number):
    """Return the status of the command, negative where it was killed."""
    child = os.fork()
    if child == 0:
        kill_before_name(number)
        sys.argv = ["clbench", *arguments]
        runpy.run_module("clbench", run_name="__main__", alter_sys=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def rows_of(log):
    """Return how many epochs the log tells of, or -1 where there is none."""
    return len(log.read_text(encoding="utf-8").splitlines()) - 1 if log.exists() else -1


if __name__ == "__main__":
    torch.set_num_threads(1)
    for count in itertools.count(1):
        ended = run(sys.argv[2:], count)
        if ended != -signal.SIGKILL:
            sys.exit(ended)
        sys.stderr.write(f"killed after {rows_of(Path(sys.argv[1]))} rows\n")
