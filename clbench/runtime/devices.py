"""Where networks run."""

import torch

from clbench.schema.errors import BadValueError

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


def device_name(device: torch.device) -> str:
    """Return what a record says of a device: the GPU's name, or its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
