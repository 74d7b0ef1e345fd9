"""Runs ``python -m clbench ARGUMENTS``; fails if a thread of the process group outlives it.

Such a thread may abort the process while Python is ending, now and then.
"""

import atexit
import os
import runpy
import sys
from pathlib import Path


def fail_over_threads():
    """End with an error where the group has threads."""
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    left = [name for name in names if "gloo" in name]
    if left:
        sys.stderr.write(f"threads are left: {left}\n")
        os._exit(1)


if __name__ == "__main__":
    atexit.register(fail_over_threads)  # the first one registered is the last one called
    runpy.run_module("clbench", run_name="__main__", alter_sys=True)
