"""One phase of training: which weights move, along which loss, until which epoch."""

import copy
import math
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from clbench.data.image_set import ImageSet
from clbench.runtime import distributed
from clbench.runtime.seeding import randomness, seed_from
from clbench.training.objective import Batch, attack, loss_of, make_objective
from clbench.training.optimizer import lr_factor, make_optimizer
from clbench.training.recipe import Criterion, Phase, Validation
from clbench.training.sampling import Sampler
from clbench.training.trained_model import (
    Attacked,
    TrainedModel,
    classifier_of,
    fresh_classifier,
)
from clbench.training.validate import accuracy

State = dict[str, Any]


@dataclass(frozen=True)
class Epoch:
    """What the log says of one epoch; accuracies in [0, 1], None where none was measured.

    ``images_per_second`` counts training images, validation left out; ``seconds`` has both.
    """

    phase: str
    epoch: int
    n_epochs: int
    lr: float
    eps: float
    loss: float
    clean_acc: float | None
    robust_acc: float | None
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Job:
    """What the phases of one training share."""

    train: ImageSet
    validation: ImageSet
    attack: Validation
    criterion: Criterion
    seed: int
    fabric: Fabric


class PhaseRun:
    """A phase under way; ``state`` holds all that decides how it goes on.

    A loss without a projector trains the network's classifier, which starts anew; the weights kept
    are those of the validated epoch that the job's criterion likes best, the later of equals. A
    phase without a classifier has nothing to validate, and ends with its last epoch. Where only
    the classifier is trained, the backbone stays bit-equal, batch-norm statistics included.
    """

    def __init__(self, network: nn.Module, name: str, phase: Phase, job: Job) -> None:
        self.name, self.phase, self.job, self.epoch = name, phase, job, 0
        self._network = network
        device = job.fabric.device
        with randomness(self._seed()):
            self._model = _trained_model(network, phase, job.train.n_classes)
        distributed.synchronised(self._model, job.fabric)
        self._model.to(device).to(memory_format=torch.channels_last)
        self._images, self._labels = job.train.tensor().to(device), job.train.labels.to(device)
        self._sampler = Sampler(self._labels, phase, seed=job.seed)
        self._order, self._noise = torch.Generator(), torch.Generator(device)
        trained = [classifier_of(network)] if self._frozen else list(self._model.used)
        self._model.requires_grad_(requires_grad=False)
        for module in trained:
            module.requires_grad_(requires_grad=True)
        optimizer = make_optimizer(nn.ModuleList(trained), phase.optimizer)
        steps = self._sampler.steps
        factor = partial(
            lr_factor,
            phase.optimizer.schedule,
            warmup=phase.optimizer.warmup_epochs * steps,
            total=phase.epochs * steps,
            milestones=[epoch * steps for epoch in phase.optimizer.milestones],
        )
        self._scheduler = LambdaLR(optimizer, factor)
        self._wrapped, self._optimizer = job.fabric.setup(self._model, optimizer)
        self._best = _Best(job.criterion)
        mode = "eval" if self._frozen or not phase.adversary else phase.adversary.mode
        self._attacked = Attacked(self._model, mode, cosine=phase.unit_logits != "never")

    @property
    def _frozen(self) -> bool:
        return self.phase.trains == "classifier"

    def _seed(self, *of: int) -> int:
        """Return a seed of the phase's own, the same whatever ran before it."""
        return seed_from(self.job.seed, self.name, *of)

    def run_epoch(self) -> Epoch:
        """Train for one epoch, validate where it is due, and return its row of the log.

        A loss that is no finite number is in the row; nothing is kept of such an epoch.
        """
        self.epoch += 1
        # numbers of an epoch depend on nothing before it, so a checkpoint needs no random state
        self._order.manual_seed(self._seed(self.epoch))
        self._noise.manual_seed(self._seed(self.epoch, 1 + self.job.fabric.global_rank))
        began, lr, phase = time.perf_counter(), float(self._scheduler.get_last_lr()[0]), self.phase
        eps = phase.adversary.eps_in(self.epoch) if phase.adversary else Fraction(0)
        losses = [self._step(chosen, n, eps) for chosen, n in self._sampler.epoch(self._order)]
        loss = float(self.job.fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean"))
        if not all(value.isfinite().all() for value in self._model.state_dict().values()):
            loss = math.nan  # as that of the next step, if there were one
        trained = time.perf_counter() - began
        clean, robust = self._validate() if math.isfinite(loss) else (None, None)
        row = Epoch(
            phase=self.name,
            epoch=self.epoch,
            n_epochs=phase.epochs,
            lr=lr,
            eps=float(eps),
            loss=loss,
            clean_acc=clean,
            robust_acc=robust,
            images_per_second=self._sampler.images / trained,
            seconds=time.perf_counter() - began,
        )
        if clean is not None and phase.keep == "best":
            self._best.offer(row, self._network)
        return row

    def finish(self) -> int:
        """Leave the kept weights in the network, ready for anything, and return their epoch."""
        self._best.restore(self._network)
        self._model.requires_grad_(requires_grad=True)
        self._network.to(memory_format=torch.contiguous_format)
        return self._best.epoch or self.phase.epochs

    def state(self) -> State:
        """Return all that decides how the phase goes on: weights, optimizer, schedule, numbers."""
        return {
            "epoch": self.epoch,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "best": self._best.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on where ``state`` was taken."""
        self.epoch = state["epoch"]
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._best.load_state(state["best"])

    def _step(self, chosen: Int[Tensor, " n"], n_labelled: int, eps: Fraction) -> Float[Tensor, ""]:
        fabric, phase = self.job.fabric, self.phase
        gather = partial(distributed.gather, fabric)
        batch = self._batch(chosen, n_labelled)
        terms = make_objective(batch, phase, self._noise)
        self._model.eval()
        with fabric.autocast():
            terms = [
                attack(term, phase, self._attacked, eps=eps, generator=self._noise, gather=gather)
                for term in terms
            ]
        self._model.train(not self._frozen)
        loss = torch.stack(
            [loss_of(term, phase, self._wrapped, gather=gather) for term in terms]
        ).sum()
        self._optimizer.zero_grad()
        fabric.backward(loss)
        self._optimizer.step()
        self._scheduler.step()
        return loss.detach()

    def _batch(self, chosen: Int[Tensor, " n"], n_labelled: int) -> Batch:
        """Return this process's part of a global batch."""
        fabric = self.job.fabric
        known, rest = chosen[:n_labelled], chosen[n_labelled:]
        known = known[distributed.own_part(fabric, len(known))]
        rest = rest[distributed.own_part(fabric, len(rest))]
        mine = torch.cat([known, rest]).to(self._images.device)
        images = self._images[mine].contiguous(memory_format=torch.channels_last)
        # an image without a label is alone in its class
        labels = torch.where(
            torch.arange(len(mine), device=mine.device) < len(known), self._labels[mine], ~mine
        )
        return Batch(images, labels, len(known))

    def _validate(self) -> tuple[float | None, float | None]:
        """Return clean and robust accuracy, in the epochs that have them."""
        due = self.epoch % self.phase.validate_every == 0 or self.epoch == self.phase.epochs
        if not self.phase.classified or not due:
            return None, None
        measure = partial(
            accuracy, self._network, self.job.validation, device=self.job.fabric.device
        )
        return measure(None), measure(self.job.attack)


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

    def state(self) -> State:
        """Return what is kept."""
        return {"accuracy": self._accuracy, "epoch": self.epoch, "weights": self._weights}

    def load_state(self, state: State) -> None:
        """Keep what ``state`` holds."""
        self._accuracy, self.epoch = state["accuracy"], state["epoch"]
        self._weights = state["weights"]


def _trained_model(network: nn.Module, phase: Phase, n_classes: int) -> TrainedModel:
    if phase.classified:
        fresh_classifier(network, n_classes, phase.classifier_start)
    return TrainedModel(
        network,
        projection=phase.projection if phase.projected else None,
        classified=phase.classified,
        cosine=phase.unit_logits == "always",
    )
