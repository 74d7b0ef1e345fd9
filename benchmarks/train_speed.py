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

from clbench.data import EvalSet, load_arrays, make_evalset
from clbench.models import build_backbone
from clbench.train import Phase, read_recipe
from clbench.train.adversary import Adversary
from clbench.train.devices import make_fabric
from clbench.train.losses import supcon
from clbench.train.phases import Job, PhaseRun
from clbench.train.views import augment

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
        network = build_backbone(backbone, 3, 10)
        job = Job(images, images, recipe.validation, recipe.criterion, 0, fabric)
        ours = _ours(PhaseRun(build_backbone(backbone, 3, 10), part, phase, job))
        floor = _floor(network, phase, images, fabric.device)
        naive = _naive(phase, images, backbone, fabric.device)
        times = [[run() for run in (ours, floor, naive)] for _ in range(repeats)]
        a, b, c = (statistics.median(column) for column in zip(*times, strict=True))
        n = BATCHES * batch_size
        print(
            f"{name:20}{n / a:10.0f}{n / b:10.0f}{n / c:10.0f}{b / a:10.2f}{c / a:10.2f}",
            flush=True,
        )


def _images(data: Path | None, n: int) -> EvalSet:
    if data is not None:
        return load_arrays(data, n, n_classes=10)
    return make_evalset("random", torch.rand(n, 3, 32, 32), torch.arange(n) % 10, 10)


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


def _floor(
    network: nn.Module, phase: Phase, images: EvalSet, device: torch.device
) -> Callable[[], float]:
    """Return what times bare passes: as many of each kind as the phase needs."""
    network.to(device, memory_format=torch.channels_last)
    batch = images.images[: phase.batch_size].to(device, memory_format=torch.channels_last)
    labels = images.labels[: phase.batch_size].to(device)
    trains = phase.trains == "everything"
    compares = phase.objective.views > 1
    steps = phase.adversary.steps if phase.adversary else 0
    forwards = steps > 0 and compares  # the constant embedding of the clean view
    trained = phase.objective.views + (steps > 0) * (1 + compares)

    def forward(*, of_images: bool) -> None:
        batch.requires_grad_(of_images)
        with torch.autocast(device.type, torch.bfloat16):
            loss = functional.cross_entropy(network(batch).float(), labels)
        if of_images:
            torch.autograd.grad(loss, batch)
        elif loss.requires_grad:
            loss.backward()

    def timed() -> float:
        _wait(device)
        began = time.perf_counter()
        for _ in range(BATCHES):
            network.eval().requires_grad_(requires_grad=False)
            for _ in range(steps):
                forward(of_images=True)
            for _ in range(forwards):
                forward(of_images=False)
            network.train(trains).requires_grad_(requires_grad=trains)
            network.get_classifier().requires_grad_(requires_grad=True)
            for _ in range(trained):
                forward(of_images=False)
            network.zero_grad()
        _wait(device)
        return time.perf_counter() - began

    timed()
    return timed


def _naive(
    phase: Phase, images: EvalSet, backbone: str, device: torch.device
) -> Callable[[], float]:
    """Return what times the paper's schedule written down naively."""
    network = build_backbone(backbone, 3, 10).to(device)
    n = network.num_features
    contrastive = phase.objective.projected
    width = phase.projection if contrastive else 10
    head = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, width)) if contrastive else None
    classifier = (head or nn.Linear(n, width)).to(device)
    trained = [*classifier.parameters()]
    trained += [*network.parameters()] if phase.trains == "everything" else []
    optimizer = torch.optim.Adam(trained, lr=3e-4)
    generator = torch.Generator(device).manual_seed(0)
    adversary = phase.adversary

    def outputs(batch: torch.Tensor) -> torch.Tensor:
        features = network.forward_head(network.forward_features(batch), pre_logits=True)
        return functional.normalize(classifier(features), dim=1)

    def loss_of(batches: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        rows = [outputs(one) for one in batches]
        if not contrastive:
            return sum(functional.cross_entropy(one, labels) for one in rows)
        ids = labels if phase.loss == "supcon" else torch.arange(len(labels), device=device)
        return supcon(torch.stack(rows), ids, temperature=phase.temperature)

    def attacked(batch: torch.Tensor, labels: torch.Tensor, row: Adversary) -> torch.Tensor:
        moved, eps = batch.clone(), float(row.eps)
        for _ in range(row.steps):
            moved = moved.detach().requires_grad_()
            loss_of([batch, moved] if contrastive else [moved], labels).backward()
            step = moved.detach() + row.fixed_step * moved.grad.sign()
            moved = (batch + (step - batch).clamp(-eps, eps)).clamp(0, 1)
        return moved.detach()

    def timed() -> float:
        network.train(phase.trains == "everything")
        _wait(device)
        began = time.perf_counter()
        for k in range(BATCHES):
            part = slice(k * phase.batch_size, (k + 1) * phase.batch_size)
            batch, labels = images.images[part].to(device), images.labels[part].to(device)
            views = [augment(batch, phase.views, generator) for _ in range(phase.objective.views)]
            pairs = [views]
            if adversary is not None:
                moved = attacked(batch, labels, adversary)
                pairs.append([batch, moved] if contrastive else [moved])
            optimizer.zero_grad()
            sum(loss_of(pair, labels) for pair in pairs).backward()
            optimizer.step()
        _wait(device)
        return time.perf_counter() - began

    timed()
    return timed


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    typer.run(measure)
