"""Robust accuracy under a plan of attacks, step by step, resumable after any interruption."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import clbench
from clbench.attacks.interface import Attack, AttackPlan
from clbench.attacks.native.pgd import PGD
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import PRECISIONS, Victim
from clbench.evaluation.confirm import Batch, attempt
from clbench.evaluation.reliability import MAX_GRADIENTS_CHECKED, examine, has_zero_gradient
from clbench.evaluation.result import BY_CLEAN, Outcome, outcome_of
from clbench.evaluation.state import Cascade
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.hashing import fingerprint
from clbench.runtime.tiles import choose_batch_size
from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.files import write_atomically
from clbench.schema.threat_model import ThreatModel

__all__ = ["Outcome", "Progress", "evaluate", "perturb"]

SAVE_EVERY = 1.0
"""Seconds between two savings of the progress; longer where saving itself takes long."""

PROBE_ATTACK = PGD(steps=40)
"""What makes the images that probes compare with the clean ones, for every model alike."""

QUICK_ATTACK = PGD(steps=10)
"""What comes before it where only examples that stand are attacked, to save time."""

_SAVING_SHARE = 0.02  # of the time, at most, goes into saving


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: batch ``batch`` of ``n_batches`` of step ``step`` is done.

    Step 0 is the clean images. ``accuracy_left`` is the robust accuracy if no further attack broke
    anything. ``eta`` is a rough number of seconds to go, None while nothing is known.
    """

    attack: str
    step: int
    n_steps: int
    batch: int
    n_batches: int
    accuracy_left: float
    seconds: float
    eta: float | None


def evaluate(
    network: nn.Module,
    image_set: ImageSet,
    plan: AttackPlan,
    threat_model: ThreatModel,
    *,
    seed: int,
    batch_size: int | None,
    device: torch.device | str,
    precision: str = "float32",
    progress_file: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    key: str = "",
) -> Outcome:
    """Attack ``network`` step by step, each step only where it still stands.

    The network is moved to ``device``; otherwise it and all global random state are left as found.
    A run that was interrupted, however, goes on from ``progress_file`` and ends exactly as it
    would have without; the file stays, also after the end, for the caller to delete.

    Args:
        network: Takes images in [0, 1], returns logits.
        image_set: The examples.
        plan: What attacks them.
        threat_model: Which perturbations are allowed.
        seed: Decides, with each example's index, every random number.
        batch_size: Images attacked at once; None chooses by the network and the device.
        device: Where to run.
        precision: Of the attacks; every verdict is in float32.
        progress_file: Where to keep what is done so far.
        on_progress: Called after every batch.
        key: What else tells this run from others, such as the model's name; its weights, data,
            plan, threat model and seed do anyway.

    Raises:
        BadValueError: A batch size below 1, or an unknown precision.
        ModelError: The network does not return logits [n, classes].
        StorageError: The progress cannot be saved.
    """
    if batch_size is not None and batch_size < 1:
        raise BadValueError(f"batch size must be 'auto' or at least 1, got {batch_size}")
    if precision not in PRECISIONS:
        raise BadValueError(f"precision must be {' or '.join(PRECISIONS)}, got {precision!r}")
    device = torch.device(device)
    network.to(device)
    sign = fingerprint(
        *(network, key, clbench.__version__, torch.__version__, device.type, precision),
        *(image_set.sha256, plan.backend, plan.hash, threat_model, seed, batch_size or "auto"),
    )
    with exact_arithmetic(), left_as_found(network, seed=seed):
        run = _Run(Victim(network, precision), image_set, plan, threat_model, seed, device)
        cascade = _saved(progress_file, sign, image_set) or run.begin(batch_size)
        with _Saver(progress_file, cascade, sign) as saver:
            run.go_on(cascade, saver, on_progress or (lambda _progress: None))
    return outcome_of(plan, cascade)


def perturb(
    network: nn.Module,
    image_set: ImageSet,
    threat_model: ThreatModel,
    *,
    seed: int,
    batch_size: int | None,
    device: torch.device | str,
    attack: Attack = PROBE_ATTACK,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Float[Tensor, "n c h w"]:
    """Return every image perturbed as far as the threat model allows, for probes to look at.

    The same attack for every model, on all examples: also on those that it cannot break, and on
    those misclassified without it. So columns are comparable between models and no example is
    compared with itself. ``on_progress`` is told how many examples are done, and how many there
    are.
    """
    device = torch.device(device)
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=seed):
        victim, perturbed = Victim(network), image_set.images.clone()
        size = batch_size or choose_batch_size(victim, image_set.images[:1].to(device))
        for index in torch.split(torch.arange(len(image_set)), size):
            images, labels = image_set.images[index].to(device), image_set.labels[index].to(device)
            found = attack(victim, images, labels, threat_model, seed=seed, index=index)
            perturbed[index] = found.cpu()
            on_progress(int(index[-1]) + 1, len(image_set))
    return perturbed


@dataclass
class _Run:
    """One evaluation at work."""

    victim: Victim
    image_set: ImageSet
    plan: AttackPlan
    threat_model: ThreatModel
    seed: int
    device: torch.device
    cost_done: float = 0.0
    attack_seconds: float = 0.0

    def begin(self, batch_size: int | None) -> Cascade:
        """Classify the clean images, look for signs of trouble, and return the first state."""
        started, images = time.perf_counter(), self.image_set.images
        self._check_logits()
        size = batch_size or choose_batch_size(self.victim, images[:1].to(self.device))
        parts = torch.split(torch.arange(len(images)), size)
        clean_pred = torch.cat([self.victim.classify(self._at(one).images).cpu() for one in parts])
        cascade = Cascade.begin(images, self.image_set.labels, clean_pred, size)
        first = self._at(parts[0])
        cascade.flags |= {*self.plan.flags, *examine(self.victim, first.images, first.labels)}
        if (clean_pred < 0).any():
            cascade.flags.add("nan_logits")
        if self._finds_no_gradient(cascade):
            cascade.flags.add("zero_gradient")
        self._count(cascade, time.perf_counter() - started)
        return cascade

    def go_on(self, cascade: Cascade, saver: "_Saver", report: Callable[[Progress], None]) -> None:
        """Run the attacks from where ``cascade`` stands to the end."""
        report(self._progress(cascade))
        for number in range(cascade.step, len(self.plan.steps)):
            while cascade.batch < cascade.n_batches:
                self._attack(cascade, number)
                saver.save()
                report(self._progress(cascade))
            cascade.finish_step()
            saver.save(force=True)

    def _attack(self, cascade: Cascade, number: int) -> None:
        started, step = time.perf_counter(), self.plan.steps[number]
        examples = cascade.next_examples()
        done = attempt(step, self.victim, self._at(examples), self.threat_model, self.seed)
        cascade.take(examples, done)
        seconds = time.perf_counter() - started
        self.cost_done += step.cost * len(examples)
        self.attack_seconds += seconds
        self._count(cascade, seconds)

    def _at(self, index: Int[Tensor, " b"]) -> Batch:
        images, labels = self.image_set.images[index], self.image_set.labels[index]
        return Batch(images.to(self.device), labels.to(self.device), index)

    def _check_logits(self) -> None:
        with torch.no_grad():
            logits = self.victim.network(self.image_set.images[:1].to(self.device))
        wanted = [1, self.image_set.n_classes]
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape != wanted:
            raise ModelError(f"the model must return logits {wanted} for one image, got {shape}")

    def _finds_no_gradient(self, cascade: Cascade) -> bool:
        correct = cascade.todo[:MAX_GRADIENTS_CHECKED]
        batches = map(self._at, torch.split(correct, cascade.batch_size))
        return any(
            bool(has_zero_gradient(self.victim, batch.images, batch.labels).any())
            for batch in batches
        )

    def _count(self, cascade: Cascade, seconds: float) -> None:
        """Move the passes and the time since the last batch into the state."""
        cascade.forward_passes += self.victim.forward_passes
        cascade.backward_passes += self.victim.backward_passes
        cascade.seconds += seconds
        self.victim.forward_passes = self.victim.backward_passes = 0

    def _progress(self, cascade: Cascade) -> Progress:
        steps, begun = self.plan.steps, cascade.step > 0 or cascade.batch > 0
        running, later = steps[cascade.step : cascade.step + 1], steps[cascade.step + 1 :]
        left = max(len(cascade.todo) - cascade.batch * cascade.batch_size, 0)
        cost = left * math.fsum(step.cost for step in running)
        cost += cascade.n_robust * math.fsum(step.cost for step in later)
        return Progress(
            attack=(running or steps[-1:])[0].name if begun else BY_CLEAN,
            step=cascade.step + len(running) if begun else 0,
            n_steps=len(steps),
            batch=cascade.batch if begun else 1,
            n_batches=cascade.n_batches if begun else 1,
            accuracy_left=cascade.n_robust / len(self.image_set),
            seconds=cascade.seconds,
            eta=self.attack_seconds * cost / self.cost_done if self.cost_done else None,
        )


class _Saver:
    """Saves the progress now and then; whatever ends the block early, Ctrl-C too, at once."""

    def __init__(self, path: Path | None, cascade: Cascade, sign: str) -> None:
        self._path, self._cascade, self._sign = path, cascade, sign
        self._due = time.perf_counter() + SAVE_EVERY

    def save(self, *, force: bool = False) -> None:
        """Write the progress if it is due, or in any case where forced."""
        started = time.perf_counter()
        if self._path is None or (not force and started < self._due):
            return
        write_atomically(self._path, self._cascade.to_bytes(self._sign))
        now = time.perf_counter()
        self._due = now + max(SAVE_EVERY, (now - started) / _SAVING_SHARE)

    def __enter__(self) -> "_Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.save(force=True)


def _saved(path: Path | None, sign: str, image_set: ImageSet) -> Cascade | None:
    if path is None or not path.is_file():
        return None
    return Cascade.from_bytes(path.read_bytes(), sign, image_set.images)
