"""How quick a network and attacks on it are here, by running each of them for a moment."""

import itertools
import time
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pool import Pool
from clbench.attacks.native.pool_attack import Ball, Example, LooksAhead, Network, targets_of
from clbench.attacks.native.pooled import Pooled
from clbench.attacks.rows import Passes
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch, attack_and_confirm
from clbench.evaluation.plan import Pace
from clbench.evaluation.tile_network import TileNetwork
from clbench.schema.threat_model import ThreatModel

CLEAN = "clean"
"""What all that comes before the first attack is called."""

_CLEAN = Passes(10, 3)
"""Passes of the first look, at most: few images are asked about more often than many."""

_BUDGET_S = 1.0
_FEWEST = 2
"""Steps, or passes, that are measured whatever they take."""

_SMALLER = Fraction(1, 1000)
"""In a ball so much smaller hardly anything breaks, so that all images stay at work."""

_PLENTY = 1000
"""Tiles of images that wait, so that all places are filled."""


class _EnoughError(BaseException):
    """Ends an attack that has run for long enough; no code of others takes it for its own."""


@dataclass(frozen=True)
class Bench:
    """A network, and a batch of images of the size that it is attacked in.

    Their labels are what the network says of them, so that none is broken before it is attacked.
    """

    model: AttackedModel
    batch: Batch
    n_classes: int
    threat_model: ThreatModel
    seed: int

    def of_clean(self) -> Pace:
        """Return how quick the look before the first attack is, by bare passes."""
        leaf = self.batch.images.clone().requires_grad_()

        def both() -> None:
            with torch.enable_grad():
                torch.autograd.grad(self.model(leaf).sum(), leaf)

        both()  # sets up what has to be
        started, made = time.perf_counter(), 0
        while made < _FEWEST or time.perf_counter() < started + _BUDGET_S / 2:
            both()
            self._wait()
            made += 1
        images = len(self.batch.images)
        seconds = (time.perf_counter() - started) / made
        seconds *= _CLEAN.cost / Passes(1, 1).cost
        return Pace(CLEAN, _CLEAN, guessed=False, steps=1, seconds=seconds, images=float(images))

    def of(self, step: AttackStep) -> Pace:
        """Return how quick a component is."""
        self.model.forward_passes = self.model.backward_passes = 0
        if isinstance(step.attack, Pooled):
            return self._of_pool(step, step.attack)
        return self._of_package(step)

    @property
    def _ball(self) -> ThreatModel:
        return ThreatModel(self.threat_model.norm, self.threat_model.eps * _SMALLER)

    def _wait(self) -> None:
        if self.batch.images.is_cuda:
            torch.cuda.synchronize(self.batch.images.device)

    def _of_pool(self, step: AttackStep, pooled: Pooled) -> Pace:
        """Make steps of full tiles."""
        attack, n = pooled.attack, len(self.batch.images)
        pool = Pool(
            attack,
            Ball.of(self._ball, self.seed, step.name),
            n,
            _Supply(self, pooled),
            range(_PLENTY * n),
        )
        pool.advance(self._ask)
        examples = len(set(pool.example[pool.active].tolist())) + len(pool.parked)
        tiles = max(1, len(pool.tiles))
        started, made = time.perf_counter(), 0
        while made < _FEWEST or time.perf_counter() < started + _BUDGET_S:
            pool.advance(self._ask)
            self._wait()
            made += tiles
        seconds = (time.perf_counter() - started) / made
        images = max(1, examples) / tiles
        knows = isinstance(attack, LooksAhead) and attack.may_know(self.batch.images, pool.ball)
        guessed = step.is_guessed or (knows and self.model.repeats_itself)
        return Pace(
            *(step.name, step.passes, guessed, attack.n_steps, seconds, images),
            looks_ahead=pool.looks_ahead,
        )

    def _ask(self, factor: Tensor, counted: Tensor) -> Network:
        return TileNetwork(self.model, factor, counted)

    def _of_package(self, step: AttackStep) -> Pace:
        """Run it until a second is over, or it has ended, whose passes are known then."""
        model, n = self.model, len(self.batch.images)
        end, ended, run = time.perf_counter() + _BUDGET_S, False, 0
        calls = itertools.count()

        def enough() -> None:
            nonlocal run
            if next(calls) >= _FEWEST and time.perf_counter() > end:
                raise _EnoughError
            run = model.forward_passes  # with the one that begins now

        model.on_pass, started = enough, time.perf_counter()
        try:
            attack_and_confirm(step, model, self.batch, self._ball, self.seed)
            ended = True
        except _EnoughError:
            pass
        finally:
            model.on_pass = lambda: None
        self._wait()
        seconds = time.perf_counter() - started
        made = Passes(run / n, model.backward_passes / n)
        if ended:
            return Pace(step.name, made, guessed=False, steps=1, seconds=seconds / n, images=1.0)
        known = step.passes if step.passes.cost > made.cost else made
        each = seconds / (n * made.cost) * known.cost
        return Pace(step.name, known, step.is_guessed, steps=1, seconds=each, images=1.0)


@dataclass(frozen=True)
class _Supply:
    """The images of a bench again and again, as the examples of a pool."""

    bench: Bench
    pooled: Pooled

    def __call__(self, place: int) -> Example:
        """Return an example."""
        batch, attack = self.bench.batch, self.pooled.attack
        here = slice(place % len(batch.images), place % len(batch.images) + 1)
        targets = None
        if attack.n_target_classes:
            guess = -torch.arange(self.bench.n_classes, dtype=torch.float32)[None]
            targets = targets_of(attack, guess.to(batch.images), batch.labels[here])[0]
        one = torch.ones(1, dtype=torch.float64, device=batch.images.device)
        return Example(batch.images[here], batch.labels[here], batch.index[here], one, targets)
