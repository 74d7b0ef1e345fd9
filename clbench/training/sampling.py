"""Which images a step sees, and whose labels are known."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from clbench.training.recipe import Phase


class Sampler:
    """Cuts an epoch into global batches of equal size, images with labels first.

    A short last batch is left out: its statistics are others. Where a phase has a loss of its own
    for images with labels, every batch has its share of them, and an epoch ends with the shorter
    of both kinds.
    """

    def __init__(self, labels: Int[Tensor, " n"], phase: Phase, *, seed: int) -> None:
        known = known_labels(labels.cpu(), phase.labelled, seed=seed)
        self._known = known.nonzero().flatten()
        mixed = bool(phase.labelled_loss)
        self._rest = (~known).nonzero().flatten() if mixed else self._known[:0]
        size = min(phase.batch_size, len(self._known) + len(self._rest))
        share = max(1, round(size * phase.labelled)) if mixed else size
        # classes are rounded one by one, so all batches together may want more than there is
        self.n_labelled = min(share, len(self._known))
        self._n_rest = min(size - share, len(self._rest))

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        pools = ((self._known, self.n_labelled), (self._rest, self._n_rest))
        return min(len(pool) // n for pool, n in pools if n)

    @property
    def parts(self) -> dict[str, int]:
        """Images of a batch that a loss sees together, by what they are."""
        if not self._n_rest:
            return {"images": self.n_labelled}
        return {"images with labels": self.n_labelled, "images without labels": self._n_rest}

    @property
    def images(self) -> int:
        """Images of an epoch."""
        return self.steps * (self.n_labelled + self._n_rest)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Int[Tensor, " n"], int]]:
        """Give every batch of an epoch as places of images, and how many of them have labels."""
        known, rest = (
            pool[torch.randperm(len(pool), generator=generator)]
            for pool in (self._known, self._rest)
        )
        a, b = self.n_labelled, self._n_rest
        for k in range(self.steps):
            yield torch.cat([known[k * a : (k + 1) * a], rest[k * b : (k + 1) * b]]), a


def known_labels(labels: Int[Tensor, " n"], share: float, *, seed: int) -> Bool[Tensor, " n"]:
    """Return whose labels are known: the same share of every class, at least one, drawn once."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.zeros(len(labels), dtype=torch.bool)
    for label in set(labels.tolist()):
        members = (labels == label).nonzero().flatten()
        n = max(1, round(share * len(members)))
        known[members[torch.randperm(len(members), generator=generator)[:n]]] = True
    return known
