"""Random numbers that depend on a seed alone."""

import hashlib
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


@contextmanager
def random_state_as_found() -> Iterator[None]:
    """Let torch, numpy and Python's generator go on afterwards as if nothing had been drawn."""
    devices = range(torch.cuda.device_count())
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - kept for them
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002 - given back to them
            random.setstate(python_state)


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Seed torch, numpy and Python's generator for a while; afterwards they go on as before."""
    with random_state_as_found():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - attack packages draw from it
        random.seed(seed)
        yield


def random_state() -> str:
    """Return a hash of where torch, numpy and Python's generator are."""
    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    digest = hashlib.sha256(b"".join(state.numpy().tobytes() for state in states))
    digest.update(pickle.dumps((random.getstate(), np.random.get_state())))  # noqa: NPY002 - as above
    return digest.hexdigest()


def seed_from(*parts: int | str) -> int:
    """Return a seed below 2**32, which every generator accepts, decided by ``parts`` alone."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def step_seed(seed: int, attack: str, index: Int[Tensor, " n"]) -> int:
    """Return the seed for one batch of one attack.

    It depends on the seed of the run, the attack's name and the batch's first example, and not
    on where a run was cut.
    """
    return seed_from(seed, attack, int(index[0]))
