"""The processes that torchrun started for one command; nothing here loads torch."""

import os
from typing import NamedTuple


class Processes(NamedTuple):
    """One of several processes: its ``rank`` of ``world`` in all, and of those of its machine."""

    rank: int
    world: int
    local_rank: int
    local_world: int

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks for all."""
        return self.rank == 0


def processes() -> Processes | None:
    """Return which of torchrun's processes this is, None for a process that stands alone.

    Other launchers set a rank too, in every program of a job, which need not be all at one command;
    what only torchrun sets decides.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if "TORCHELASTIC_RUN_ID" not in os.environ or any(name not in os.environ for name in names):
        return None
    found = Processes(*(int(os.environ[name]) for name in names))
    return found if found.world > 1 else None


def threads_each(local_world: int) -> int | None:
    """Return how many threads a process should use, None where the user, or torchrun, decided."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // local_world)
