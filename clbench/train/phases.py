"""One phase of training: which weights move, along which loss, until which epoch."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim import Optimizer as TorchOptimizer
from torch.optim.lr_scheduler import LambdaLR

from clbench.attacks.guard import randomness, untouched
from clbench.attacks.pgd import PGD
from clbench.data import EvalSet
from clbench.errors import ModelError
from clbench.models import CifarResNet
from clbench.threat import ThreatModel
from clbench.train.adversary import perturb
from clbench.train.recipe import Criterion, Optimizer, Phase, Validation
from clbench.train.views import augment


@dataclass(frozen=True)
class Epoch:
    """What the log says of one epoch; accuracies in [0, 1], None where none was measured."""

    phase: str
    epoch: int
    n_epochs: int
    lr: float
    eps: float
    loss: float
    clean_acc: float | None
    robust_acc: float | None
    seconds: float


@dataclass(frozen=True)
class Job:
    """What the phases of one training share."""

    name: str
    train: EvalSet
    validation: EvalSet
    attack: Validation
    criterion: Criterion
    seed: int
    fabric: Fabric
    on_epoch: Callable[[Epoch], None]


class Projected(nn.Module):
    """A backbone seen through a projector, which is dropped after pretraining."""

    def __init__(self, backbone: CifarResNet, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        n = backbone.num_features
        self.projector = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, width))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the projections."""
        features = self.backbone.forward_features(images)
        projected: Tensor = self.projector(self.backbone.forward_head(features, pre_logits=True))
        return projected


def run_phase(network: CifarResNet, phase_name: str, phase: Phase, job: Job) -> int:
    """Train ``network`` in place and return the epoch whose weights it has in the end.

    A loss without a projector trains the network's classifier, which starts anew; the weights kept
    are those of the validated epoch that the job's criterion likes best, the later of equals. A
    projector's phase has nothing to validate, and ends with its last epoch. Where only the
    classifier is trained, the backbone stays bit-equal, batch-norm statistics included.

    Raises:
        ModelError: The loss is no longer a finite number.
    """
    with randomness(_seed(job, phase_name)):
        learner = _learner(network, phase, job.train.n_classes)
    learner.to(job.fabric.device).to(memory_format=torch.channels_last)
    trained = network.get_classifier() if phase.trains == "classifier" else learner
    best = _Best(job.criterion)
    with _only(trained, learner):
        for row in _epochs(learner, trained, phase_name, phase, job):
            job.on_epoch(row)
            if not phase.objective.projected and row.clean_acc is not None:
                best.offer(row, network)
    best.restore(network)
    network.to(memory_format=torch.contiguous_format)
    return best.epoch or phase.epochs


def accuracy(
    network: nn.Module, examples: EvalSet, attack: Validation | None, *, device: torch.device
) -> float:
    """Return the share of examples classified rightly, under PGD where an attack is given."""
    images, labels = examples.images.to(device), examples.labels.to(device)
    with untouched(network):
        if attack is not None:
            index = torch.arange(len(examples))
            ball = ThreatModel("Linf", attack.eps)
            images = PGD(attack.steps)(network, images, labels, ball, seed=0, index=index)
        with torch.no_grad():
            right = network(images).argmax(dim=1) == labels
    return int(right.sum()) / len(examples)


def make_optimizer(trained: nn.Module, row: Optimizer) -> TorchOptimizer:
    """Return the optimizer of a recipe over the parameters of ``trained``."""
    made: dict[str, Callable[[], TorchOptimizer]] = {
        "sgd": lambda: SGD(
            trained.parameters(),
            row.lr,
            momentum=row.momentum,
            weight_decay=row.weight_decay,
            nesterov=row.momentum > 0,
        ),
        "adamw": lambda: AdamW(trained.parameters(), row.lr, weight_decay=row.weight_decay),
    }
    return made[row.name]()


def lr_factor(step: int, *, warmup: int, total: int) -> float:
    """Return what the learning rate is multiplied by: even growth, then half a cosine down to 0.

    >>> [round(lr_factor(step, warmup=2, total=6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


class _Best:
    """The best validated weights so far."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = criterion
        self._accuracy = -1.0
        self._weights: dict[str, Tensor] = {}
        self.epoch = 0

    def offer(self, row: Epoch, network: nn.Module) -> None:
        """Keep these weights if they are no worse than those kept."""
        found: float = getattr(row, self._criterion)
        if found >= self._accuracy:
            self._accuracy, self.epoch = found, row.epoch
            self._weights = copy.deepcopy(network.state_dict())

    def restore(self, network: nn.Module) -> None:
        """Put the best weights back, if any were kept."""
        if self._weights:
            network.load_state_dict(self._weights)


def _seed(job: Job, phase_name: str) -> int:
    """Return a seed of a phase's own, so that it is the same whatever ran before."""
    return 2 * job.seed + (phase_name == "finetuning")


def _learner(network: CifarResNet, phase: Phase, n_classes: int) -> nn.Module:
    if phase.objective.projected:
        return Projected(network, phase.projection)
    network.reset_classifier(n_classes)
    return network


@contextmanager
def _only(trained: nn.Module, learner: nn.Module) -> Iterator[None]:
    """Let only ``trained`` have gradients; afterwards all parameters have them again."""
    learner.requires_grad_(requires_grad=False)
    trained.requires_grad_(requires_grad=True)
    try:
        yield
    finally:
        learner.requires_grad_(requires_grad=True)


def _epochs(
    learner: nn.Module, trained: nn.Module, phase_name: str, phase: Phase, job: Job
) -> Iterator[Epoch]:
    """Train epoch by epoch."""
    device = job.fabric.device
    generator = torch.Generator(device).manual_seed(_seed(job, phase_name))
    images, labels = job.train.images.to(device), job.train.labels.to(device)
    size = min(phase.batch_size, len(labels))
    batches = len(labels) // size
    schedule = partial(
        lr_factor, warmup=phase.optimizer.warmup_epochs * batches, total=phase.epochs * batches
    )
    wrapped, optimizer = job.fabric.setup(learner, make_optimizer(trained, phase.optimizer))
    scheduler = LambdaLR(optimizer.optimizer, schedule)

    def step(chosen: Int[Tensor, " n"], eps: Fraction) -> Float[Tensor, ""]:
        objective = _objective(labels[chosen], phase)
        with job.fabric.autocast():
            views = _views(learner, objective, images[chosen], phase, eps=eps, generator=generator)
        learner.train(phase.trains == "everything")
        loss = objective(wrapped(views))
        optimizer.zero_grad()
        job.fabric.backward(loss)
        optimizer.step()
        scheduler.step()
        return loss.detach()

    for epoch in range(1, phase.epochs + 1):
        began, lr = time.perf_counter(), float(scheduler.get_last_lr()[0])
        eps = phase.adversary.eps_in(epoch) if phase.adversary else Fraction(0)
        order = torch.randperm(len(labels), generator=generator, device=device)
        # a short last batch is left out: its statistics are others
        chunks = order[: batches * size].view(batches, size)
        loss = float(torch.stack([step(chosen, eps) for chosen in chunks]).mean())
        if not math.isfinite(loss):
            raise ModelError(
                f"loss of {job.name} became {loss} in epoch {epoch} of {phase_name}; "
                f"lower the lr of its recipe, {phase.optimizer.lr:g}"
            )
        clean, robust = _validate(learner, phase, epoch, job)
        spent = time.perf_counter() - began
        yield Epoch(phase_name, epoch, phase.epochs, lr, float(eps), loss, clean, robust, spent)


def _views(
    learner: nn.Module,
    objective: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n c h w"],
    phase: Phase,
    *,
    eps: Fraction,
    generator: torch.Generator,
) -> Float[Tensor, "views_times_n c h w"]:
    """Return all views of a batch, one view after the other, adversarial where there is one."""
    count = phase.objective.views
    views = torch.cat([augment(images, phase.views, generator) for _ in range(count)])
    if phase.adversary is None:
        return views
    return perturb(learner, objective, views, phase.adversary, eps=eps, generator=generator)


def _objective(labels: Int[Tensor, " n"], phase: Phase) -> Callable[[Tensor], Tensor]:
    """Return the loss of one batch as a function of the outputs for all its views."""

    def objective(outputs: Tensor) -> Tensor:
        stacked = outputs.view(phase.objective.views, len(labels), -1)
        return phase.objective.compute(stacked, labels, temperature=phase.temperature)

    return objective


def _validate(
    network: nn.Module, phase: Phase, epoch: int, job: Job
) -> tuple[float | None, float | None]:
    """Return clean and robust accuracy, in the epochs that have them."""
    due = epoch % phase.validate_every == 0 or epoch == phase.epochs
    if phase.objective.projected or not due:
        return None, None
    measure = partial(accuracy, network, job.validation, device=job.fabric.device)
    return measure(None), measure(job.attack)
