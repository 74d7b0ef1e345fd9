"""A pass of the images through all networks, one minibatch after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from clbench.probes.features import capture
from clbench.probes.similarity.minibatches import minibatches
from clbench.probes.similarity.null import Shuffle
from clbench.probes.similarity.representations import Representation


@dataclass(frozen=True, eq=False)
class Pass:
    """All representations of the same examples, and how they are run.

    ``order`` is that in which examples are seen; ``reduce`` is that of the measure; ``layouts`` are
    the memory formats of the images, by representation; ``report`` is told how many steps are done,
    and how many there are; ``shuffles`` are the orders of examples that chance is judged by.
    """

    representations: Mapping[str, Representation]
    order: Int64[Tensor, " n"]
    device: torch.device
    batch_size: int
    reduce: Callable[[Tensor], Tensor]
    layouts: Mapping[str, torch.memory_format]
    report: Callable[[int, int], None]
    shuffles: tuple[Shuffle, ...] = ()

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.order)

    @property
    def minibatches(self) -> list[slice]:
        """Which examples are seen at a time."""
        return minibatches(self.n, self.batch_size)

    @property
    def layers(self) -> dict[str, list[str]]:
        """The names of the layers that every representation should have."""
        return {
            name: list(representation.layers)
            for name, representation in self.representations.items()
        }

    def same_layers(self, one: str, other: str) -> bool:
        """Tell whether two representations have the same layers, in the same order."""
        return self.layers[one] == self.layers[other]

    def see(
        self, examples: slice, keep: Callable[[Tensor], Tensor]
    ) -> dict[str, dict[str, Tensor]]:
        """Run every network once; return by representation and layer what ``keep`` gives."""
        seen = {}
        for name, representation in self.representations.items():
            images = representation.inputs.images[self.order[examples]].to(self.device)
            with capture(representation.network, representation.layers, keep) as features_of:
                seen[name] = features_of(images.contiguous(memory_format=self.layouts[name]))
        return seen
