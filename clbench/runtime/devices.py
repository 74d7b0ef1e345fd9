"""Where networks run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clbench.schema.errors import BadValueError, ModelError

AUTO = "auto"


def find_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` takes the first GPU where there is one.

    Raises:
        BadValueError: No such device on this machine.
    """
    count = torch.cuda.device_count()
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if name == AUTO:
        return torch.device("cuda:0" if count else "cpu")
    if name not in known:
        raise BadValueError(
            f"--device must be auto or one of {', '.join(known)} here, got {name!r}"
        )
    return torch.device(name)


def device_of(name: str, local_rank: int) -> str:
    """Return which device a process takes that shares its machine with others: a GPU of its own.

    What was named with a number is taken as it is.
    """
    count = torch.cuda.device_count()
    return f"cuda:{local_rank % count}" if count and name in {AUTO, "cuda"} else name


def device_name(device: torch.device) -> str:
    """Return what a record says of a device: the GPU's name, or its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def room_for(n: int, device: torch.device) -> Iterator[None]:
    """Say in one line, where its memory runs out in the block, that ``n`` images are too many.

    Raises:
        ModelError: The device has no memory for them.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{device_name(device)} has no memory for {n} images at once; take a smaller "
            "--batch-size"
        ) from error
