"""A pass of the images through all networks, one minibatch after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.probes.features import capture
from clbench.probes.similarity.cka import minibatches
from clbench.probes.similarity.representations import View


@dataclass(frozen=True, eq=False)
class Pass:
    """All views of the same examples, and how they are run.

    ``gram`` makes centred Gram matrices from features; ``layouts`` are the memory formats of the
    images, by view; ``report`` is told how many minibatches are done, and how many there are.
    """

    views: Mapping[str, View]
    device: torch.device
    batch_size: int
    gram: Callable[[Tensor], Tensor]
    layouts: Mapping[str, torch.memory_format]
    report: Callable[[int, int], None]

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(next(iter(self.views.values())).inputs)

    @property
    def minibatches(self) -> list[slice]:
        """Which examples are seen at a time."""
        return minibatches(self.n, self.batch_size)

    @property
    def taps(self) -> dict[str, list[str]]:
        """The names of the taps that every view should have."""
        return {name: list(view.taps) for name, view in self.views.items()}

    def see(
        self, examples: slice, keep: Callable[[Tensor], Tensor]
    ) -> dict[str, dict[str, Tensor]]:
        """Run every network once, and return by view and tap what ``keep`` makes of features."""
        seen = {}
        for name, view in self.views.items():
            images = view.inputs.images[examples].to(self.device)
            with capture(view.network, view.taps, keep) as features_of:
                seen[name] = features_of(images.contiguous(memory_format=self.layouts[name]))
        return seen
