"""Items of work: what a pool attack knows of each example, restart or target that it is at."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

_Kind = TypeVar("_Kind", bound="Items")


@dataclass(kw_only=True)
class Items:
    """Items under attack; row i of every field belongs to item i.

    Attributes:
        clean: The images attacked.
        labels: Their classes.
        index: Of the examples in the whole data set.
        attempt: Number of the restart or target, from 0.
        target: The class that the attempt aims at, -1 where it aims at none.
        factor: What the network's logits are multiplied by; see
            ``clbench.evaluation.logit_scale``.
        step: How many steps were made.
    """

    clean: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    attempt: Int[Tensor, " n"]
    target: Int[Tensor, " n"]
    factor: Float[Tensor, " n"]
    step: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.step)

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields by their names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self: _Kind, where: Int[Tensor, " m"] | slice) -> _Kind:
        """Return some of the items."""
        return type(self)(**{name: tensor[where] for name, tensor in self.tensors().items()})

    def put(self: _Kind, where: Int[Tensor, " m"], others: _Kind) -> None:
        """Put other items in these places."""
        for name, tensor in others.tensors().items():
            getattr(self, name)[where] = tensor

    @classmethod
    def join(cls: type[_Kind], parts: Sequence[_Kind]) -> _Kind:
        """Return all items of some parts, one after the other."""
        named = [part.tensors() for part in parts]
        return cls(**{name: torch.cat([one[name] for one in named]) for name in named[0]})


def wide(rows: Tensor) -> Tensor:
    """Return a number for each item in a shape that fits images."""
    return rows[:, None, None, None]
