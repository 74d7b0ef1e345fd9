"""Signs of masked gradients, looked for where examples stood every attack."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pgd import PGD
from clbench.attacks.native.pooled import Pooled
from clbench.attacks.norms import NORMS
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.confirm import Batch, attack_and_confirm, confirm
from clbench.evaluation.tile_network import plain_logits
from clbench.runtime.counter import Counter as Numbers
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

LOOKED_AT = 64
"""So many of the first examples are looked at, where they stood."""

_DRAWS = 8
"""Random perturbations of each."""

_FAR_STEPS = 10

_FEWEST_ENTRIES, _ALIKE = 16, 1e-5
"""Fewer entries may be of one size by chance; sizes that differ by a smaller share are one."""


def far(norm: NormName, shape: torch.Size) -> Fraction:
    """Return a radius within which every image [c, h, w] has the grey one.

    It is the distance from a corner of the pixel range to its middle.

    >>> far("L2", torch.Size([1, 8, 8]))
    Fraction(4, 1)
    """
    n = shape.numel()
    return {"Linf": Fraction(1, 2), "L2": Fraction(isqrt(n), 2), "L1": Fraction(n, 2)}[norm]


@dataclass(frozen=True)
class Survivors:
    """A tile of examples that stood every attack, the last ones filling; ``real`` are none.

    ``with_gradients`` says whether one of the attacks had any, which a single step is held against.
    """

    model: AttackedModel
    batch: Batch
    real: Bool[Tensor, " t"]
    threat_model: ThreatModel
    seed: int
    with_gradients: bool = True

    def signs(self) -> Counter[str]:
        """Return how many examples show each sign; the passes are not counted."""
        passes = self.model.forward_passes, self.model.backward_passes
        before = self.model.spoiled
        found = Counter({name: int((seen & self.real).sum()) for name, seen in self._signs()})
        self.model.forward_passes, self.model.backward_passes = passes
        self.model.spoiled = before
        return +found

    def _signs(self) -> Iterator[tuple[str, Bool[Tensor, " t"]]]:
        yield "few_gradients", self._few_gradients()
        if self.with_gradients:
            once = PGD(steps=1, restarts=1, step_size=float(self.threat_model.eps), start="zero")
            yield "single_step_improves", self._broken_by(once, self.threat_model)
        yield "noise_improves", self._broken_by_noise()
        radius = far(self.threat_model.norm, self.batch.images.shape[1:])
        if self.threat_model.eps < radius:
            long = PGD(steps=_FAR_STEPS, restarts=1, start="random")
            wide = replace(self.threat_model, eps=radius)
            yield "robust_at_any_eps", self._broken_by_grey() & ~self._broken_by(long, wide)
        yield "verdicts_change", self._change()

    def _broken_by(self, attack: PGD, threat_model: ThreatModel) -> Bool[Tensor, " t"]:
        step = AttackStep("pgd", Pooled("pgd", attack))
        found = attack_and_confirm(step, self.model, self.batch, threat_model, self.seed)
        return found.broken.cpu()

    def _broken_by_grey(self) -> Bool[Tensor, " t"]:
        """Say which examples are of another class than a grey image, which far balls hold."""
        grey = torch.full_like(self.batch.images, 0.5)
        return (self.model.classify(grey) != self.batch.labels).cpu()

    def _broken_by_noise(self) -> Bool[Tensor, " t"]:
        """Say what random perturbations as large as the ball allows break."""
        norm, clean = NORMS[self.threat_model.norm], self.batch.images
        numbers, n = Numbers(self.seed, "noise"), clean[0].numel()
        broken = torch.zeros(len(clean), dtype=torch.bool)
        for draw in range(_DRAWS):
            rows = [numbers.normal(index, draw, 0, n=n) for index in self.batch.index.tolist()]
            noise = torch.stack(rows).reshape(clean.shape).to(clean)
            moved = clean + float(self.threat_model.eps) * norm.steepest(noise, clean)
            there = norm.project(moved, clean, float(self.threat_model.eps))
            arguments = clean, there, self.batch.labels, self.threat_model
            broken |= confirm(self.model.classify, *arguments).broken.cpu()
        return broken

    def _few_gradients(self) -> Bool[Tensor, " t"]:
        """Say where all entries of the gradient that are not zero are as large, up or down.

        That is so behind a sign. (Entries of few sizes are not rare: a mean over a part of the
        image gives one to all of its pixels.)
        """
        with torch.enable_grad():
            leaf = self.batch.images.detach().clone().requires_grad_()
            loss = functional.cross_entropy(self.model(leaf), self.batch.labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
        rows = gradient.flatten(1).cpu()
        sizes, enough = rows.abs(), (rows != 0).sum(dim=1) >= _FEWEST_ENTRIES
        least = sizes.where(rows != 0, torch.inf).amin(dim=1)
        alike = sizes.amax(dim=1) - least <= _ALIKE * least
        return enough & alike & (rows > 0).any(dim=1) & (rows < 0).any(dim=1)

    def _change(self) -> Bool[Tensor, " t"]:
        """Say which clean images are of another class when they are asked about once more.

        Each lies in another place of the tile then, beside other images.
        """
        again = classes_of(plain_logits(self.model, self.batch.images.flip(0), len(self.real)))
        return (again.flip(0) != self.batch.labels).cpu()
