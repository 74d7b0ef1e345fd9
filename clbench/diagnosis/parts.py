"""What clbench brings and where it runs; importing this already needs torch and timm."""

import os

import torch

from clbench.models.weights import availability, cache_dir, locate
from clbench.models.zoo import ZOO
from clbench.schema.errors import StorageError


def weights() -> str:
    """Return how many models have weights on this machine, each as its sha256 says.

    Raises:
        WeightsError: A file is missing or not the right one.
    """
    listed = [spec for spec in ZOO if spec.weights and availability(spec) != "url"]
    for spec in listed:
        locate(spec)
    return f"{len(listed)} of {len(ZOO)} models have weights here, all as they should be"


def cache() -> str:
    """Return the folder for downloaded weights.

    Raises:
        StorageError: It cannot be written or made.
    """
    folder = cache_dir()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise StorageError(f"cannot write {folder}")
    return str(folder)


def device() -> str:
    """Return where networks run unless told otherwise."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"cuda: {', '.join(names)}"
    return f"cpu, {torch.get_num_threads()} threads"
