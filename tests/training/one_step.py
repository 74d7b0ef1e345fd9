"""One training step of every loss, on as many processes as there are; the first one writes it.

In double precision, in which a sum hardly depends on the order of its terms. Attacks go along the
slope itself, as the sign of a number near 0 does depend on it. An image's slope is made as long as
any other's, so that it does not matter how many images a mean is over.
"""

import sys
from fractions import Fraction
from pathlib import Path

import torch

from clbench.data.load import training_set
from clbench.models import build_backbone
from clbench.runtime import distributed
from clbench.training import objective
from clbench.training.adversary import Adversary
from clbench.training.devices import make_fabric
from clbench.training.phases import Job, PhaseRun
from clbench.training.recipe import Optimizer, Phase, Validation

EPS = Fraction(1, 6)
LR = 0.1

ADVERSARIES = {
    "standard": None,
    "views": Adversary(EPS, steps=2, step_size=0.5, target="views"),
    "one_view": Adversary(EPS, 2, 0.5, target="one_view", mode="frozen_statistics"),
    "image": Adversary(EPS, 2, 0.5, target="image", mode="train"),
}
CASES = {
    "nt_xent": ("standard", {}),
    "nt_xent image": ("image", {"separate_views": True}),
    "supcon": ("standard", {}),
    "supcon one_view": ("one_view", {}),
    "cross_entropy": ("standard", {}),
    "cross_entropy image": ("image", {"unit_logits": "always"}),
    "trades views": ("views", {}),
    "nt_xent and cross_entropy": (
        "views",
        {"labelled": 0.5, "labelled_loss": "cross_entropy", "batch_size": 16},
    ),
    "supcon and supcon": (
        "standard",
        {"labelled": 0.5, "labelled_loss": "supcon", "batch_size": 16},
    ),
    "cross_entropy frozen": ("views", {"trains": "classifier"}),
}
"""The first word is the loss; then its adversary, and other fields of the phase."""


def steady(objective, images, adversary, *, eps, generator):
    """Move images as ``perturb`` does, but by slopes in place of their signs."""
    moved = 0.9 * images + 0.05
    for _ in range(adversary.steps):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(objective(moved), moved)
        longest = slope.abs().amax(dim=(1, 2, 3), keepdim=True)
        moved = (moved + 0.05 * slope / longest).clamp(0, 1)
    return moved.detach()


def make_phase(case):
    """Return a phase of one step over 24 images."""
    adversary, changes = CASES[case]
    sgd = Optimizer("sgd", lr=LR, momentum=0.0, schedule="constant")
    return Phase(
        **{"loss": case.split()[0], "trains": "everything", "epochs": 1, "batch_size": 24}
        | {"optimizer": sgd, "adversary": ADVERSARIES[adversary], "projection": 16, "beta": 2.0}
        | changes
    )


def one_step(case, fabric):
    """Return loss, slopes and statistics of one step, and whether all processes have the same."""
    images = training_set("digits", "train").head(24)
    object.__setattr__(images.content, "images", images.images.double())  # none of ours is
    job = Job(images, images, Validation(EPS, 1), "robust_acc", 0, fabric)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_backbone("resnet10_w16", in_chans=1, num_classes=10)
    run = PhaseRun(network, "pretraining", make_phase(case), job)
    before = {key: value.clone() for key, value in run.state()["model"].items()}
    row = run.run_epoch()
    after = run.state()["model"]
    alike = all(
        torch.equal(rank, value)
        for value in after.values()
        for rank in distributed.gather(fabric, value[None, None])[0]
    )
    return {
        "loss": row.loss,
        "slopes": {
            key: (before[key] - value) / LR
            for key, value in after.items()
            if value.is_floating_point() and "running" not in key
        },
        "statistics": {key: value for key, value in after.items() if "running" in key},
        "accuracies": [row.clean_acc, row.robust_acc],
        "alike": alike,
    }


def gathered(fabric):
    """Return what a sum of weighted gathered rows gives back to every process."""
    world, rank = fabric.world_size, fabric.global_rank
    rows = torch.full((2, 3, 4), float(rank + 1), requires_grad=True)
    joined = distributed.gather(fabric, rows)
    weight = torch.arange(3.0 * world)[None, :, None]
    (joined * weight).sum().backward()
    labels = distributed.gather(fabric, torch.arange(3) + 10 * rank)
    return {
        "joined": joined.detach(),
        "slopes": distributed.gather(fabric, rows.grad),
        "labels": labels,
        "parts": [distributed.own_part(fabric, n).indices(n)[:2] for n in (6, 7)],
    }


def everything(fabric):
    """Return what every case gives."""
    before, kept = torch.get_default_dtype(), objective.perturb
    torch.set_default_dtype(torch.float64)
    objective.perturb = steady
    try:
        found = {case: one_step(case, fabric) for case in CASES}
        return found | {"gathered": gathered(fabric)}
    finally:
        torch.set_default_dtype(before)
        objective.perturb = kept


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes = make_fabric("cpu", "float32")
    results = everything(processes)
    if processes.is_global_zero:
        torch.save(results, Path(sys.argv[1]))
