"""Robust accuracy under attacks, one after the other, resumable after any interruption."""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pooled import Pooled
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import PRECISIONS, AttackedModel
from clbench.evaluation.confirm import Batch, attack_and_confirm
from clbench.evaluation.first_look import first_look
from clbench.evaluation.pool_run import PoolRun
from clbench.evaluation.progress import OnProgress, Progress, Saver, UnderWay
from clbench.evaluation.result import EvaluationResult, result_of
from clbench.evaluation.state import EvaluationState
from clbench.evaluation.verdicts import BY_CLEAN
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.hashing import state_sha256
from clbench.runtime.tiles import choose_batch_size, tile_of
from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.files import set_aside, sha256_of
from clbench.schema.numbers import read_batch_size
from clbench.schema.threat_model import ThreatModel
from clbench.schema.version import __version__

log = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
"""Seconds between two reports from within a batch."""

LOGITS_KEPT = 8
"""Images whose logits tell a network from the same one after a change."""


def evaluate(
    network: nn.Module,
    images: ImageSet,
    steps: Sequence[AttackStep],
    threat_model: ThreatModel,
    *,
    seed: int,
    batch_size: int | str | None,
    device: torch.device | str,
    precision: str = "float32",
    flags: Sequence[str] = (),
    identity: str = "",
    progress_file: Path | None = None,
    on_progress: OnProgress | None = None,
) -> EvaluationResult:
    """Attack ``network`` step by step, each step only where it is still robust.

    The network is moved to ``device``; otherwise it and all global random state are left as found.
    A run that was interrupted, however, goes on from ``progress_file`` and ends exactly as it
    would have without; the file stays, also after the end, for the caller to delete. A file that
    this run cannot go on from is set aside, and named in the log.

    Args:
        network: Takes images in [0, 1], returns logits.
        images: The examples.
        steps: What attacks them.
        threat_model: Which perturbations are allowed.
        seed: Decides, with each example's index, every random number.
        batch_size: Images attacked at once; None chooses by the network and the device.
        device: Where to run.
        precision: Of the attacks; every verdict is in float32.
        flags: What is known of the attack already.
        identity: What else tells this run from others, such as the attack's hash; its weights,
            data, threat model, seed, precision and batch size do anyway.
        progress_file: Where to keep what is done so far.
        on_progress: Called after every batch.

    Raises:
        BadValueError: A batch size below 1, or an unknown precision.
        ModelError: The network does not return logits [n, classes].
        StorageError: The progress cannot be saved.
    """
    size_wanted = read_batch_size(batch_size)
    check_precision(precision)
    device = torch.device(device)
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=seed):
        model = AttackedModel(network, precision)
        in_tiles = all(isinstance(step.attack, Pooled) for step in steps)
        size = size_wanted or _automatic(model, images, device, in_tiles=in_tiles)
        run = _Run(model, images, steps, threat_model, seed, device, size)
        decisive = (identity, state_sha256(network), str(threat_model), seed, precision, size)
        sign = sha256_of(json.dumps([*decisive, [step.name for step in steps]]).encode())
        state = run.begin_or_go_on(sign, flags, progress_file)
        with Saver(progress_file, lambda: run.to_bytes(state)) as saver:
            run.finish(state, saver, on_progress or (lambda _progress: None))
    return result_of(steps, state, images.labels, size)


def check_precision(precision: str) -> None:
    """Check in what attacks should run.

    Raises:
        BadValueError: It is none of ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise BadValueError(f"precision must be {' or '.join(PRECISIONS)}, got {precision!r}")


def automatic_batch_size(
    network: nn.Module,
    images: ImageSet,
    device: torch.device | str,
    precision: str,
    *,
    in_tiles: bool,
) -> int:
    """Return how many images to attack at once: one tile, or as many as a package has room for."""
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=0):
        model = AttackedModel(network, precision)
        return _automatic(model, images, device, in_tiles=in_tiles)


def _automatic(
    model: AttackedModel, images: ImageSet, device: torch.device | str, *, in_tiles: bool
) -> int:
    if in_tiles:
        return tile_of(images.images, device)
    return choose_batch_size(model, images.images[:1].to(device))


def first_logits(
    network: nn.Module, images: ImageSet, device: torch.device | str
) -> Float[Tensor, "m k"]:
    """Return the logits of the first ``LOGITS_KEPT`` images, in eval mode and float32.

    Raises:
        ModelError: The network does not return logits [n, classes].
    """
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=0), torch.no_grad():
        logits = network(images.images[:LOGITS_KEPT].to(device))
    wanted = [min(LOGITS_KEPT, len(images)), images.n_classes]
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != wanted:
        raise ModelError(
            f"the model must return logits {wanted} for {wanted[0]} images, got {shape}"
        )
    found: Tensor = logits.float().cpu()
    return found


def _made_with(device: torch.device) -> dict[str, str]:
    """Return what progress must have in common with the run that goes on from it."""
    return {"clbench": __version__, "torch": torch.__version__, "device": device.type}


@dataclass
class _Run:
    """One evaluation at work."""

    model: AttackedModel
    images: ImageSet
    steps: Sequence[AttackStep]
    threat_model: ThreatModel
    seed: int
    device: torch.device
    batch_size: int
    cost_done: float = 0.0
    attack_seconds: float = 0.0
    work: PoolRun | None = None

    def begin_or_go_on(
        self, sign: str, flags: Sequence[str], progress_file: Path | None
    ) -> EvaluationState:
        """Return the state that was saved, or the first one."""
        logits = first_logits(self.model.network, self.images, self.device)
        passes = math.fsum(step.cost for step in self.steps) * self.images.whole.n
        self.model.speed_up(self._some(), passes)
        if progress_file is not None and progress_file.is_file():
            found = EvaluationState.from_bytes(
                progress_file.read_bytes(), sign, self.images, logits, _made_with(self.device)
            )
            if isinstance(found, EvaluationState):
                self.model.forward_passes = 0  # those for the batch size were counted before
                return found
            kept = set_aside(progress_file)
            log.warning("cannot go on from %s: %s; kept as %s", progress_file, found.reason, kept)
        return self._begin(sign, flags, logits)

    def _some(self) -> Float[Tensor, "t c h w"]:
        """Return a full tile of images, the first ones again and again where there are few."""
        where = torch.arange(self.tile) % len(self.images)
        return self.images.images[where].to(self.device)

    def _begin(
        self, sign: str, flags: Sequence[str], logits: Float[Tensor, "m k"]
    ) -> EvaluationState:
        """Classify the clean images and look for signs of trouble."""
        started = time.perf_counter()
        look = first_look(*(self.model, self.images, logits), device=self.device, tile=self.tile)
        state = EvaluationState.begin(sign, self.images, look.clean_pred, logits)
        state.log2_factors = look.log2_factors
        state.flags.update(flags)
        state.flags += look.flags
        self._count(state, time.perf_counter() - started)
        return state

    def finish(self, state: EvaluationState, saver: "Saver", report: OnProgress) -> None:
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

    def _in_pool(
        self, state: EvaluationState, number: int, saver: "Saver", report: OnProgress
    ) -> None:
        """Run a component that clbench has itself; report every verdict."""
        step, waiting = self.steps[number], state.pending(number)
        assert isinstance(step.attack, Pooled), "others run batch by batch"
        if self.threat_model.eps == 0 or not len(waiting):
            state.survived(number, waiting)
            return
        self.work = PoolRun(
            *(number, step, step.attack, self.model, self.images, state),
            *(self.threat_model, self.seed, self.device, self.tile),
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
        state.in_flight = {} if self.work is None else self.work.pool.under_way().tensors()
        return state.to_bytes(_made_with(self.device))

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
        later = math.fsum(step.cost for step in self.steps[number + 1 :])
        cost = waiting * self.steps[number].cost + state.n_robust * later - now.cost
        spent, seconds = self.cost_done + now.cost, self.attack_seconds + now.seconds
        return Progress(
            attack=self.steps[number].name if begun else BY_CLEAN,
            step=number + 1 if begun else 0,
            n_steps=len(self.steps),
            done=done if begun else len(self.images),
            total=done + waiting if begun else len(self.images),
            accuracy_left=state.n_robust / len(self.images),
            seconds=state.seconds,
            eta=seconds * max(cost, 0.0) / spent if spent else None,
            within=now.examples,
        )
