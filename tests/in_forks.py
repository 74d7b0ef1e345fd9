"""Runs commands and code in forks of one process, which has imported what they need once for all.

A line of JSON on standard input says what: ``given``, a command's words or code with ``arguments``,
in which folder ``cwd``, with what further ``environment``, and to which files ``out`` and ``err``
it writes. Two lines come back for each: its process and, when it has ended, its exit status.
"""

import importlib
import json
import os
import signal
import sys
import traceback

from clbench.cli import main

IMPORTED = (
    *("clbench.analysis.report", "clbench.evaluation.session", "clbench.leaderboard.formats"),
    *("clbench.models.load", "clbench.probes.table", "clbench.training.loop", "torchattacks"),
)


def fork(asked):
    """Run in a fork, of which the process is told at once; return its status."""
    child = os.fork()
    if child == 0:
        # as where nothing is ignored, also when the tests themselves run under nohup
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in ((1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.chdir(asked["cwd"])
        os.environ.update(asked["environment"])
        os._exit(_status_of(work_of(asked["given"], asked["arguments"])))
    tell(child)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _status_of(work):
    try:
        work()
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()
    return 0


def work_of(given, arguments):
    """Return what is to be done, as a function."""
    if isinstance(given, str):
        sys.argv = ["-c", *arguments]
        return lambda: exec(given, {"__name__": "__main__"})
    sys.argv = given
    return main


def tell(number):
    """Write a line."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        tell(fork(json.loads(line)))
