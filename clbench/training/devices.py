"""Where a training runs: one device, or all processes of torchrun."""

import atexit
import gc
import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from clbench.runtime.devices import find_device

_FABRIC_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def make_fabric(device: str, precision: str) -> Fabric:
    """Return the devices and the precision, which is settled, to train with.

    Under torchrun, every process takes its own GPU of ``cuda`` and all share the work.

    Raises:
        BadValueError: No such device on this machine.
    """
    # Fabric has a handler of its own on stderr, which repeats what the recipe says of precision
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    found = find_device(device)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        fabric = Fabric(
            accelerator=found.type,
            devices=here,
            num_nodes=processes // here,
            strategy=DDPStrategy(broadcast_buffers=False),  # batch norms are synchronised
            precision=_FABRIC_PRECISION[precision],
        )
        if not torch.distributed.is_initialized():
            atexit.register(_end_processes)
        fabric.launch()
        return fabric
    return Fabric(
        accelerator=found.type,
        devices=[found.index or 0] if found.type == "cuda" else 1,
        precision=_FABRIC_PRECISION[precision],
    )


def _end_processes() -> None:
    """End the group of processes that was begun here; Fabric does so for nccl, but not for gloo.

    A thread of the group that is still at work aborts a process that exits, after all was written.
    """
    gc.collect()  # a wrapped network is in a cycle and holds the group
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
