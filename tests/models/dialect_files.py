"""Checkpoints as their projects write them, from names and shapes recorded of their sources."""

import argparse
import json
import math
from collections import OrderedDict
from pathlib import Path

import torch

from tests.models.plain_forwards import Used

FACTS = Path(__file__).parent / "dialects"
"""A file of facts for each: repository, commit, files, tables of names and shapes."""


def facts(name):
    return json.loads((FACTS / f"{name}.json").read_text(encoding="utf-8"))


def tables(name, seed=0):
    """Return the tables of a checkpoint, filled with numbers that any network lives with."""
    numbers = Numbers(seed)
    return {
        table: Used({key: tensor(key, shape, numbers) for key, shape in names.items()})
        for table, names in facts(name)["tables"].items()
    }


class Numbers:
    """Random numbers from a pool, as drawing all of a wide network takes longer than running it."""

    POOL = 1_000_003

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.pool = torch.randn(self.POOL, generator=self.generator)
        self.place = 0

    def rand(self, shape):
        return torch.rand(shape, generator=self.generator)

    def randn(self, shape):
        n = math.prod(shape)
        self.place = (self.place + 7919) % self.POOL
        more = self.pool.roll(-self.place).repeat(1 + n // self.POOL)
        return more[:n].reshape(shape).clone()


def tensor(name, shape, numbers):
    if name.endswith(("num_batches_tracked", "queue_ptr")):
        return torch.ones(shape, dtype=torch.int64)
    if name.endswith(("mean", "mu")) and "running" not in name:
        return 0.4 + 0.1 * numbers.rand(shape)
    if name.endswith(("std", "sigma")):
        return 0.2 + 0.1 * numbers.rand(shape)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 0.5 + numbers.rand(shape)
    drawn = numbers.randn(shape)
    if name.endswith("weight") and len(shape) > 1:
        return drawn * math.sqrt(2 / math.prod(shape[1:]))
    return 0.2 * drawn


def content(name, filled):
    """Return what is saved: the tables where they belong, and what else the project keeps.

    Tensors that nothing asked for are saved as one number each, all the same: they must not matter.
    """
    whole = {}
    for table, state in filled.items():
        place = whole
        for key in filter(None, table.split(".")):
            place = place.setdefault(key, OrderedDict())
        place.update(
            (key, value if key in state.used else other(value)) for key, value in state.items()
        )
    for key in facts(name)["beside"]:
        whole.setdefault(key, (BESIDE | OF.get(name, {})).get(key, 3))
    return whole


def other(value):
    return torch.full((), 7, dtype=value.dtype).expand(value.shape)


BESIDE = {
    "opt": argparse.Namespace(dataset="cifar10", learning_rate=0.05),
    "args": argparse.Namespace(lr=0.1, drop=None),
    "hyper_parameters": {"data": {"dataset": "cifar10"}, "lr": 0.3},
    "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    "optim": {"state": {}, "param_groups": [{"lr": 0.1}]},
    "rng_state": torch.ones(16, dtype=torch.uint8),
    "arch": "resnet18",
    "pytorch-lightning_version": "1.9.0",
}
"""What stands beside weights."""

OF = {"timm": {"arch": "vit_tiny_patch16_224"}}
"""What else stands beside those of one file."""
