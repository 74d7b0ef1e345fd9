"""``clbench eval`` as several processes of torchrun: each takes a shard, the first one speaks.

Processes share a folder and nothing else. Each writes its shard there; the first waits until all
are finished, and goes on as if it had attacked everything. A process that was killed goes on from
its own file, and where their number changed, from what the others had done.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clbench.runtime.processes import Processes, threads_each
from clbench.schema.errors import BadValueError
from clbench.schema.shard import Shard

if TYPE_CHECKING:
    from clbench.evaluation.evaluation import Evaluation


def check_together(given: Mapping[str, Any]) -> None:
    """Check that an evaluation may be run by several processes.

    Raises:
        BadValueError: It is a shard already, or is to begin anew, which each would do by itself.
    """
    if given["shard"] is not None:
        raise BadValueError(
            f"--shard and torchrun both cut a run, got --shard {given['shard']}; leave one out"
        )
    if given["restart"]:
        raise BadValueError(
            "--restart cannot be used under torchrun, which would also begin anew after every "
            "restart of its own, got it; give another --out, or clean this one first: "
            f"clbench clean {given['out']} --remove"
        )


def evaluate_together(settings: Mapping[str, Any], mine: Processes) -> "Evaluation":
    """Run the shard of this process; return its evaluation, from the first one that of all.

    Args:
        settings: Of ``clbench.evaluate``, with its hooks.
        mine: Which process this is.
    """
    import torch

    import clbench
    from clbench.evaluation.parts import progress_of
    from clbench.evaluation.waiting import wait_for_parts
    from clbench.runtime.devices import device_of

    threads = threads_each(mine.local_world)
    if threads is not None:
        torch.set_num_threads(threads)
    here = {"device": device_of(settings["device"], mine.local_rank)}
    whole: dict[str, Any] = {**settings, **here}
    shard = Shard(mine.rank, mine.world)
    part = clbench.evaluate(**whole | {"shard": str(shard)})
    if not mine.is_first:
        return part
    assert part.paths is not None, "the command line always writes"
    if not part.reused:
        wait_for_parts(progress_of(part.paths.progress, shard), settings["on_probe"])
    return clbench.evaluate(**whole)
