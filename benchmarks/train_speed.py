"""Training speed: images per second of each scenario, against its floor and a naive twin.

The floor is the bare forward and backward passes that a step of the recipe needs, with the same
network, batch and precision: no data, no augmentation, no loss over pairs, no optimizer. The naive
twin is the paper's schedule as one would write it down: float32, one forward pass per view, the
clean embedding anew at every attack step, attacks in training mode with gradients for parameters.
All three run one after the other, several times over, and the medians count.

Run it with ``python benchmarks/train_speed.py`` on a quiet machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import typer
from torch import nn
from torch.nn import functional

from clbench.data.image_set import ImageSet, make_image_set
from clbench.data.readers.npz import load_arrays
from clbench.models import build_backbone
from clbench.training.adversary import Adversary
from clbench.training.augmentation import augment
from clbench.training.devices import make_fabric
from clbench.training.losses import supcon
from clbench.training.phases import Job, PhaseRun
from clbench.training.recipe import Phase
from clbench.training.recipe_file import read_recipe

SCENARIOS = {
    "simclr_st": "pretraining",
    "simclr_at": "pretraining",
    "simclr_partial_at": "finetuning",
    "simclr_full_at": "finetuning",
    "supcon_at": "pretraining",
    "supervised_st": "pretraining",
    "supervised_at": "pretraining",
}
"""Which phase of which model is timed."""

BATCHES = 4
MAX_EPOCHS = 10_000


def measure(
    backbone: str = "resnet18_w16",
    batch_size: int = 256,
    repeats: int = 5,
    device: str = "auto",
    data: Path | None = None,
) -> None:
    """Print images per second of ours, the floor and the naive twin, and both ratios."""
    images = _images(data, BATCHES * batch_size)
    fabric = make_fabric(device, "bfloat16")
    print(
        f"{backbone}, batches of {batch_size}, {fabric.device}, {torch.get_num_threads()} threads"
    )
    print(
        f"{'scenario':20}{'images/s':>10}{'floor':>10}{'naive':>10}{'of floor':>10}{'x naive':>10}"
    )
    for name, part in SCENARIOS.items():
        recipe = replace(
            read_recipe(name, "cifar10", recipe_name="paper"),
            backbone=backbone,
            precision="bfloat16",
        )
        phase = _mended(recipe.phases[part], batch_size)
        job = Job(images, images, recipe.validation, recipe.criterion, 0, fabric)
        ours = _ours(PhaseRun(build_backbone(backbone, 3, 10), part, phase, job))
        floor, naive = (
            _timed(make(phase, images, backbone, fabric.device), fabric.device)
            for make in (Floor, Naive)
        )
        times = [[run() for run in (ours, floor, naive)] for _ in range(repeats)]
        a, b, c = (statistics.median(column) for column in zip(*times, strict=True))
        n = BATCHES * batch_size
        print(
            f"{name:20}{n / a:10.0f}{n / b:10.0f}{n / c:10.0f}{b / a:10.2f}{c / a:10.2f}",
            flush=True,
        )


def _images(data: Path | None, n: int) -> ImageSet:
    if data is not None:
        return load_arrays(data, n, n_classes=10)
    return make_image_set("random", torch.rand(n, 3, 32, 32), torch.arange(n) % 10, 10)


def _mended(phase: Phase, batch_size: int) -> Phase:
    """Return the paper's phase without the quirks that cost time."""
    adversary = phase.adversary and replace(phase.adversary, mode="eval")
    return replace(
        phase,
        adversary=adversary,
        batch_size=batch_size,
        separate_views=False,
        unit_logits="never",
        epochs=MAX_EPOCHS,  # never the last one, which is validated
        validate_every=MAX_EPOCHS,
    )


def _ours(run: PhaseRun) -> Callable[[], float]:
    def timed() -> float:
        row = run.run_epoch()
        return BATCHES * run.phase.batch_size / row.images_per_second

    timed()
    return timed


class Floor:
    """The bare passes of one step: as many of each kind as the phase needs."""

    def __init__(self, phase: Phase, images: ImageSet, backbone: str, device: torch.device) -> None:
        self.network = build_backbone(backbone, 3, 10).to(device, memory_format=torch.channels_last)
        batch = images.images[: phase.batch_size]
        self.batch = batch.to(device, memory_format=torch.channels_last)
        self.labels = images.labels[: phase.batch_size].to(device)
        self.trains = phase.trains == "everything"
        attacked, compares = phase.adversary is not None, phase.objective.views > 1
        self.attack_passes = phase.adversary.steps if phase.adversary else 0
        self.embeddings = int(attacked and compares)  # the constant one of the clean view
        self.training_passes = phase.objective.views + attacked * (1 + compares)

    def __call__(self, _k: int) -> None:
        """Make the passes of one step."""
        self.network.eval().requires_grad_(requires_grad=False)
        for _ in range(self.attack_passes):
            torch.autograd.grad(self._loss(self.batch.requires_grad_()), self.batch)
        self.batch.requires_grad_(requires_grad=False)
        for _ in range(self.embeddings):
            self._loss(self.batch)
        self.network.train(self.trains).requires_grad_(requires_grad=self.trains)
        self.network.get_classifier().requires_grad_(requires_grad=True)
        for _ in range(self.training_passes):
            self._loss(self.batch).backward()
        self.network.zero_grad()

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(batch.device.type, torch.bfloat16):
            return functional.cross_entropy(self.network(batch).float(), self.labels)


class Naive:
    """One step of the paper's schedule, written down naively."""

    def __init__(self, phase: Phase, images: ImageSet, backbone: str, device: torch.device) -> None:
        self.phase, self.images = phase, images
        self.contrasts = phase.objective.projected
        self.generator = torch.Generator(device).manual_seed(0)
        self.network = build_backbone(backbone, 3, 10).to(device)
        n = self.network.num_features
        projector = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, phase.projection))
        self.head = (projector if self.contrasts else nn.Linear(n, 10)).to(device)
        trains = phase.trains == "everything"
        self.network.train(trains)
        trained = [*self.head.parameters(), *(self.network.parameters() if trains else ())]
        self.optimizer = torch.optim.Adam(trained, lr=phase.optimizer.lr)

    def __call__(self, k: int) -> None:
        """Train on batch ``k``."""
        part = slice(k * self.phase.batch_size, (k + 1) * self.phase.batch_size)
        device = self.generator.device
        batch, labels = self.images.images[part].to(device), self.images.labels[part].to(device)
        views = range(self.phase.objective.views)
        groups = [[augment(batch, self.phase.views, self.generator) for _ in views]]
        if self.phase.adversary is not None:
            moved = self._attacked(batch, labels, self.phase.adversary)
            groups.append([batch, moved] if self.contrasts else [moved])
        self.optimizer.zero_grad()
        sum(self._loss(group, labels) for group in groups).backward()
        self.optimizer.step()

    def _loss(self, views: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        rows = [self._outputs(view) for view in views]
        if not self.contrasts:
            return sum(functional.cross_entropy(one, labels) for one in rows)
        own = torch.arange(len(labels), device=labels.device)
        ids = labels if self.phase.loss == "supcon" else own
        return supcon(torch.stack(rows), ids, temperature=self.phase.temperature)

    def _outputs(self, batch: torch.Tensor) -> torch.Tensor:
        maps = self.network.forward_features(batch)
        pooled = self.network.forward_head(maps, pre_logits=True)
        return functional.normalize(self.head(pooled), dim=1)

    def _attacked(
        self, batch: torch.Tensor, labels: torch.Tensor, adversary: Adversary
    ) -> torch.Tensor:
        moved, eps = batch.clone(), float(adversary.eps)
        for _ in range(adversary.steps):
            moved = moved.detach().requires_grad_()
            self._loss([batch, moved] if self.contrasts else [moved], labels).backward()
            step = moved.detach() + adversary.fixed_step * moved.grad.sign()
            moved = (batch + (step - batch).clamp(-eps, eps)).clamp(0, 1)
        return moved.detach()


def _timed(step: Callable[[int], None], device: torch.device) -> Callable[[], float]:
    """Return what times the steps of all batches, in seconds."""

    def timed() -> float:
        _wait(device)
        began = time.perf_counter()
        for k in range(BATCHES):
            step(k)
        _wait(device)
        return time.perf_counter() - began

    timed()
    return timed


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    typer.run(measure)
