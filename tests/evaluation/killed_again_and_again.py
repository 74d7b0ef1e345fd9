"""Shards of a run, killed again and again: a program for a test, and for who wants more kills.

    python killed_again_and_again.py FOLDER SHARDS KILLS

The run is made in FOLDER/whole by one process, and in FOLDER/cut by one process after the other,
each on a shard drawn by chance and killed by SIGKILL, now before a file is changed, now at any
moment, until all are finished. It prints how many were killed, and fails where evidence differs.
"""

import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import torch

import clbench
import clbench.evaluation.progress as saving

GIVEN = {
    "attack": "apgd-ce,n_iter=10 + square,n_queries=100",
    "norm": "L2",  # in which Square asks every time
    "eps": "3/4",
    "n_examples": 16,
    "batch_size": 8,
    "backend": "native",
    "probe": False,
}
SAVES = 110
"""About so often the progress of a shard is saved, which here is after every step."""


def main(folder, of, kills):
    """Make the run twice, and compare."""
    torch.set_num_threads(1)
    saving.SAVE_EVERY, saving._SAVING_SHARE = 0.0, 1e9
    started = time.perf_counter()
    whole = clbench.evaluate("simclr_at", out=folder / "whole", **GIVEN)
    seconds = time.perf_counter() - started
    draw, killed, todo = random.Random(0), 0, list(range(1, of + 1))
    between = max(2, SAVES * of // (2 * kills + of))
    while todo:
        number, way = draw.choice(todo), draw.choice(["save", "time"])
        save = draw.randrange(2, 2 * between) if way == "save" else None
        delay = draw.uniform(0, seconds / (kills + 1)) if way == "time" else None
        status = forked(
            folder / "cut", f"{number}/{of}", *((save, delay) if killed < kills else ())
        )
        assert status in {0, -signal.SIGKILL}, status
        killed += status != 0
        todo = todo if status else [one for one in todo if one != number]
    (found,) = clbench.merge(folder / "cut")
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()
    assert found.record.measures == whole.record.measures
    assert found.record.flags == whole.record.flags
    sys.stdout.write(f"{killed}\n")


def forked(out, shard, save=None, delay=None):
    """Run a shard in a process that is killed before a save, or after so many seconds of it."""
    child = os.fork()
    if child == 0:
        die_before(save, delay)
        clbench.evaluate("simclr_at", out=out, shard=shard, **GIVEN)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_before(save, delay):
    """Have this process killed before the save of that number, or after so many seconds."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    real, numbers = Path.replace, itertools.count(1)

    def replace(path, target):
        if next(numbers) == save:
            die()
        return real(path, target)

    Path.replace = replace
    if delay is not None:
        # what comes before the attacks takes longest
        begun, goes_on = saving.Saver.__enter__, threading.Timer(delay, die)
        saving.Saver.__enter__ = lambda saver: (goes_on.start(), begun(saver))[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
