"""The attacks of one evaluation at work, one after the other, from wherever it stands."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pooled import Pooled
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch, attack_and_confirm
from clbench.evaluation.first_look import first_look, signs_of_trouble
from clbench.evaluation.going_on import saved_state
from clbench.evaluation.kept import KeptImages
from clbench.evaluation.masking import LOOKED_AT, Survivors
from clbench.evaluation.parts import BLACK_BOX, LEFT
from clbench.evaluation.pool_run import PoolRun
from clbench.evaluation.progress import OnProgress, Progress, Saver, UnderWay
from clbench.evaluation.reliability import MAX_GRADIENTS_CHECKED
from clbench.evaluation.state import NOTHING_KNOWN, EvaluationState, HeadStart, Mismatch
from clbench.evaluation.time_to_go import Met, Speed, time_to_go
from clbench.evaluation.verdicts import BY_CLEAN
from clbench.schema.threat_model import ThreatModel
from clbench.schema.version import __version__

TELL_EVERY_S = 1.0
"""Seconds between two reports from within a batch."""


def made_with(device: torch.device) -> dict[str, str]:
    """Return what progress must have in common with the run that goes on from it."""
    return {"clbench": __version__, "torch": torch.__version__, "device": device.type}


@dataclass
class AttackRun:
    """One evaluation at work on ``images``: the ``whole`` data set, or a shard of it.

    ``about`` is kept with its progress, for whoever joins shards. ``kept`` takes the adversarial
    images, where they are wanted.
    """

    model: AttackedModel
    whole: ImageSet
    images: ImageSet
    steps: Sequence[AttackStep]
    threat_model: ThreatModel
    seed: int
    device: torch.device
    batch_size: int
    about: Mapping[str, Any] = field(default_factory=dict)
    head_start: HeadStart = NOTHING_KNOWN
    kept: KeptImages | None = None
    cost_done: float = 0.0
    attack_seconds: float = 0.0
    before_component: tuple[int, float, float] = (-1, 0.0, 0.0)
    work: PoolRun | None = None
    is_over: bool = False

    def begin_or_go_on(
        self,
        sign: str,
        flags: Sequence[str],
        logits: Float[Tensor, "m k"],
        progress_file: Path | None,
    ) -> EvaluationState:
        """Return the state that was saved, or the first one; ``logits`` tell the network."""
        read = partial(self._read, sign=sign, logits=logits)
        state = saved_state(progress_file, read, self.images.index, len(self.steps))
        known = state.index if state is not None else torch.empty(0, dtype=torch.int64)
        unknown = (~torch.isin(self.images.index, known)).nonzero()[:, 0]
        if state is None or len(unknown) or self._left(state):
            passes = math.fsum(step.cost for step in self.steps) * self.images.whole.n
            self.model.speed_up(self._some(), passes)
            self.model.ask_again(self._some())
        if not len(unknown) and state is not None:
            self.model.forward_passes = 0  # those for the batch size were counted before
            return state
        begun = self._begin(sign, flags, logits, self.images.part(unknown))
        states = [begun] if state is None else [state, begun]
        return EvaluationState.joined(states, self.images.index)

    def _read(
        self, data: bytes, *, sign: str, logits: Float[Tensor, "m k"]
    ) -> EvaluationState | Mismatch:
        """Return what saved bytes know of the images, or why nobody can go on from them."""
        state = EvaluationState.from_bytes(data, sign, self.images, logits, made_with(self.device))
        if isinstance(state, Mismatch) or self.kept is None:
            return state
        missing = self.kept.missing(state)
        if len(missing) and not all(isinstance(step.attack, Pooled) for step in self.steps):
            return Mismatch("the adversarial images, which are wanted now, were not kept with it")
        if len(missing):
            state.break_again(missing)
        return state

    def _some(self) -> Float[Tensor, "t c h w"]:
        """Return a full tile of images, the same ones in every shard."""
        where = torch.arange(self.tile) % len(self.whole)
        return self.whole.images[where].to(self.device)

    def _begin(
        self, sign: str, flags: Sequence[str], logits: Float[Tensor, "m k"], images: ImageSet
    ) -> EvaluationState:
        """Classify some clean images and look for signs of trouble.

        Those that all images raise together are looked for where the first one is begun.
        """
        started = time.perf_counter()
        first = self.whole.index
        checked = torch.isin(images.index, first[:MAX_GRADIENTS_CHECKED])
        look = first_look(self.model, images, checked=checked, device=self.device, tile=self.tile)
        state = EvaluationState.begin(sign, images, look.clean_pred, logits)
        state.log2_factors = look.log2_factors
        state.flags.update(flags)
        state.flags += look.flags
        if (images.index == first[0]).any():
            some = self.whole.images[: self.tile].to(self.device)
            labels = self.whole.labels[: self.tile].to(self.device)
            state.flags += signs_of_trouble(self.model, some, labels, logits, tile=self.tile)
            state.forward_passes += self.head_start.forward_passes
            state.backward_passes += self.head_start.backward_passes
        state.take_over(self.head_start)
        self._count(state, time.perf_counter() - started)
        return state

    def finish(self, state: EvaluationState, saver: Saver, report: OnProgress) -> None:
        """Run the attacks from where ``state`` is to the end."""
        last = len(self.steps) - 1
        running = (number for number in range(last) if len(state.pending(number)))
        report(self._progress(state, next(running, last)))
        for number, step in enumerate(self.steps):
            if isinstance(step.attack, Pooled):
                self._in_pool(state, number, saver, report)
                continue
            waiting = state.pending(number)
            for where in torch.split(waiting, self.batch_size) if len(waiting) else ():
                with self._told(state, number, where, report):
                    self._attack(state, number, where)
                saver.save()
                report(self._progress(state, number))
            saver.save(force=len(waiting) > 0)
        self._look_at_survivors(state)
        self.is_over = True

    def _look_at_survivors(self, state: EvaluationState) -> None:
        """Look for masked gradients at some that stood everything, where that was not done."""
        done, some = len(self.steps), self.whole.index[:LOOKED_AT]
        where = state.pending(done)
        where = where[torch.isin(state.index[where], some)]
        if self.threat_model.eps == 0 or not len(where):
            return
        gradients = any(not step.black_box for step in self.steps)
        for part in torch.split(where, self.tile):
            filled = torch.cat([part, part[:1].expand(self.tile - len(part))])
            batch = Batch.at(self.images, filled, self.device, state.log2_factors)
            real = torch.arange(self.tile) < len(part)
            of = (self.model, batch, real, self.threat_model, self.seed, gradients)
            state.flags += Survivors(*of).signs()
        state.survived(done, where)

    def _in_pool(
        self, state: EvaluationState, number: int, saver: Saver, report: OnProgress
    ) -> None:
        """Run a component that clbench has itself; report every verdict."""
        step, waiting = self.steps[number], state.pending(number)
        assert isinstance(step.attack, Pooled), "others run batch by batch"
        if self.threat_model.eps == 0 or not len(waiting):
            state.survived(number, waiting)
            return
        self.work = PoolRun(
            *(number, step, step.attack, self.model, self.images, state),
            *(self.threat_model, self.seed, self.device, self.tile, self.kept),
        )
        told, goes_on = time.monotonic(), True
        while goes_on:
            started, before = time.perf_counter(), int(state.components_done.sum())
            goes_on = self.work.advance()
            seconds = time.perf_counter() - started
            self.attack_seconds += seconds
            self.cost_done += self.model.forward_passes + 2 * self.model.backward_passes
            self._count(state, seconds)
            saver.save()
            is_decided = int(state.components_done.sum()) > before
            if is_decided or time.monotonic() >= told + TELL_EVERY_S:
                told = time.monotonic()
                report(self._progress(state, number, self.work.under_way))
        self.work = None
        saver.save(force=True)

    def to_bytes(self, state: EvaluationState) -> bytes:
        """Return the progress, with what a pool has under way."""
        if self.kept is not None:
            self.kept.sync()
        state.in_flight = {} if self.work is None else self.work.pool.under_way().tensors()
        black_box = [step.black_box for step in self.steps]
        # whoever joins shards takes one that has nothing left, and removes it
        left = self._left(state) + (not self.is_over)
        about = {LEFT: left, BLACK_BOX: black_box, **self.about}
        return state.to_bytes(made_with(self.device), about)

    def _left(self, state: EvaluationState) -> int:
        """Return how many examples are still to be attacked."""
        return sum(len(state.pending(number)) for number in range(len(self.steps)))

    @property
    def tile(self) -> int:
        """How many images are asked about at once: no more than there are in the whole set."""
        return min(self.batch_size, self.images.whole.n)

    @contextmanager
    def _told(
        self, state: EvaluationState, number: int, where: Int[Tensor, " b"], report: OnProgress
    ) -> Iterator[None]:
        """Report now and then how much of a batch is done, judged by its passes."""
        cost, begun = self.steps[number].cost * len(where), time.monotonic()
        told = begun

        def on_pass() -> None:
            nonlocal told
            now = time.monotonic()
            if now < told + TELL_EVERY_S:
                return
            told = now
            passes = self.model.forward_passes + 2 * self.model.backward_passes
            under_way = UnderWay.of(len(where), cost, passes, now - begun)
            report(self._progress(state, number, under_way))

        self.model.on_pass = on_pass
        try:
            yield
        finally:
            self.model.on_pass = lambda: None

    def _attack(self, state: EvaluationState, number: int, where: Int[Tensor, " b"]) -> None:
        started, step = time.perf_counter(), self.steps[number]
        batch = Batch.at(self.images, where, self.device, state.log2_factors)
        confirmed = attack_and_confirm(step, self.model, batch, self.threat_model, self.seed)
        state.take(number, where, confirmed)
        if self.kept is not None:
            self.kept.take(state, where, confirmed)
        seconds = time.perf_counter() - started
        self.cost_done += step.cost * len(where)
        self.attack_seconds += seconds
        self._count(state, seconds)

    def _count(self, state: EvaluationState, seconds: float) -> None:
        """Move the passes, spoiled gradients and the time since the last batch into the state."""
        if self.model.spoiled:
            state.flags["nan_gradient"] += self.model.spoiled
        state.forward_passes += self.model.forward_passes
        state.backward_passes += self.model.backward_passes
        state.seconds += seconds
        self.model.forward_passes = self.model.backward_passes = self.model.spoiled = 0

    def _progress(
        self, state: EvaluationState, number: int, under_way: UnderWay | None = None
    ) -> Progress:
        done, waiting = int((state.components_done > number).sum()), len(state.pending(number))
        begun = under_way is not None or bool(state.components_done.any())
        now = under_way or UnderWay(0.0, 0.0, 0.0)
        return Progress(
            attack=self.steps[number].name if begun else BY_CLEAN,
            step=number + 1 if begun else 0,
            n_steps=len(self.steps),
            done=done if begun else len(self.images),
            total=done + waiting if begun else len(self.images),
            accuracy_left=state.n_robust / len(self.images),
            seconds=state.seconds,
            eta=self._time_to_go(state, number, waiting, now),
            within=now.examples,
        )

    def _time_to_go(
        self, state: EvaluationState, number: int, waiting: int, now: UnderWay
    ) -> float | None:
        """Return the seconds to go; ``waiting`` examples are not decided by the component."""
        leave = isinstance(self.steps[number].attack, Pooled)
        cost = self.cost_done + (0.0 if leave else now.cost)  # a pool's is there already
        seconds = self.attack_seconds + now.seconds
        if self.before_component[0] != number:
            self.before_component = number, self.cost_done, self.attack_seconds
        met = Met(
            survived=state.n_robust - waiting,
            broken=int((state.broken_by == number).sum()),
            begun=now.begun,
            waiting=waiting - now.begun,
            done=now.examples,
            room=now.room,
            leave=leave,
        )
        _, cost_before, seconds_before = self.before_component
        speed = Speed(cost - cost_before, seconds - seconds_before, cost, seconds)
        later = [step.cost for step in self.steps[number + 1 :]]
        return time_to_go(met, speed, self.steps[number].cost, later)
