"""Runs commands and code in forks of one process, which has imported what they need once for all.

One line of JSON on standard input is a command's words, or code; one line comes back for each: its
exit status and what it wrote to standard error.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback

from clbench.cli import main

IMPORTED = (
    *("clbench.analysis.report", "clbench.evaluation.session", "clbench.leaderboard.formats"),
    *("clbench.models.load", "clbench.probes.table", "clbench.training.loop", "torchattacks"),
)


def in_a_fork(work):
    """Run in a fork; return its status and what it wrote to standard error."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os._exit(_status_of(work))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        err.seek(0)
        return status, err.read()


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


def work_of(given):
    """Return what is to be done, as a function."""
    if isinstance(given, str):
        return lambda: exec(given, {"__name__": "__main__"})
    sys.argv = given
    return main


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(in_a_fork(work_of(json.loads(line)))) + "\n")
        sys.stdout.flush()
