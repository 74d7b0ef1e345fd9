"""AutoAttack by clbench's own engine against pyautoattack called directly, in CPU time.

Prints for each network the ratio of both, and how many times the floor the engine takes: its own
passes, made bare. Run ``python benchmarks/attack_speed.py --name digits`` on a quiet machine, with
OMP_NUM_THREADS=1. With ``--device cuda`` it is the time on the clock. The package has the same
arithmetic as the engine, float32, unless ``--as-it-comes`` leaves it torch's own settings, which
on GPUs shorten float32 in convolutions.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction
from typing import NamedTuple

import torch
import typer
from pyautoattack import AutoAttack
from torch import Tensor, nn
from torch.nn import functional

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import ImageSet, make_image_set
from clbench.data.load import load_test_set
from clbench.evaluation.attacked_model import WORTH_A_GRAPH, AttackedModel
from clbench.evaluation.run import evaluate
from clbench.models import build_backbone
from clbench.models.load import load_model
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.tiles import tile_of
from clbench.schema.threat_model import ThreatModel


class Case(NamedTuple):
    """A network, images, and the radius of the ball."""

    network: nn.Module
    images: ImageSet
    eps: Fraction


def digits() -> Case:
    """Return an adversarially trained ResNet on digits."""
    network = load_model("simclr_at", dataset="digits", n_classes=10, shape=(1, 8, 8)).network
    return Case(network, load_test_set("digits", n_examples=180, data_dir=None), Fraction(1, 6))


def own_answers(network: nn.Module, n: int) -> ImageSet:
    """Return random pictures of CIFAR's size, with the network's own answers as labels."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = functional.interpolate(torch.rand(n, 3, 8, 8), size=32, mode="bilinear")
        return make_image_set("pictures", images, network(images).argmax(1), 10)


def cnn() -> Case:
    """Return a plain CNN of CIFAR's size, hardly any of whose answers an attack changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(64 * 8 * 8, 10)),
        ).eval()
    return Case(network, own_answers(network, 64), Fraction(1, 2550))


def cifar() -> Case:
    """Return a narrow ResNet of CIFAR's size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_backbone("resnet18_w16", 3, 10).eval()
    return Case(network, own_answers(network, 64), Fraction(1, 2550))


def resnet18() -> Case:
    """Return a ResNet of CIFAR's size in full width."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_backbone("resnet18", 3, 10).eval()
    return Case(network, own_answers(network, 128), Fraction(1, 25500))


CASES: dict[str, Callable[[], Case]] = {
    "digits": digits,
    "cnn": cnn,
    "cifar": cifar,
    "resnet18": resnet18,
}


class Clock:
    """CPU time, or on a GPU the time on the clock, when all that was asked for is done."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device != "cpu"

    def __call__(self) -> float:
        """Return seconds."""
        if self.on_gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


def per_image(
    model: AttackedModel, images: Tensor, clock: Clock, *, backward: bool, repeats: int = 15
) -> float:
    """Return the least seconds that a pass of one image took."""
    seconds = []
    for _ in range(repeats):
        started = clock()
        leaf = images.clone().requires_grad_(backward)
        with torch.set_grad_enabled(backward), model.autocast(images):
            logits = model.attacked(leaf)
        if backward:
            torch.autograd.grad(logits.logsumexp(1).sum(), leaf)
        seconds.append(clock() - started)
    return min(seconds) / len(images)


def compare(  # noqa: PLR0917 - all are options
    name: str = "digits",
    n: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    as_it_comes: bool = False,
) -> None:
    """Print the ratio of both, the floor, and how many verdicts differ."""
    network, images, eps = CASES[name]()
    images = images.head(n or len(images))
    network.requires_grad_(requires_grad=False).to(device)
    clock, there = Clock(device), images.images.to(device)
    tile = min(tile_of(there, device), len(images))

    started = clock()
    with nullcontext() if as_it_comes else exact_arithmetic():
        attack = AutoAttack(network, norm="Linf", eps=float(eps), seed=seed, device=device)
        found, _ = attack.run_standard_evaluation(there, images.labels.to(device), batch_size=256)
        with torch.no_grad():
            robust = network(found).argmax(1).cpu() == images.labels
    package = clock() - started

    started = clock()
    steps = bind(plan_attack("autoattack", "Linf", 10, "native"), 10)
    ours = evaluate(
        *(network, images, steps, ThreatModel("Linf", eps)),
        seed=seed,
        batch_size=None,
        device=device,
        precision=precision,
    )
    native = clock() - started
    with exact_arithmetic():
        model, some = AttackedModel(network, precision), there[torch.arange(tile) % len(images)]
        model.speed_up(some, WORTH_A_GRAPH)
        forward, both = (per_image(model, some, clock, backward=b) for b in (False, True))
    floor = (ours.forward_passes - ours.backward_passes) * forward + ours.backward_passes * both
    differ = sum((one == "") != bool(two) for one, two in zip(ours.broken_by, robust, strict=True))
    print(
        f"{name}, {device}, {precision}: native {native:.1f} s, pyautoattack {package:.1f} s, "
        f"ratio {native / package:.2f}; floor {floor:.1f} s, {native / floor:.2f} times it; "
        f"{sum(map(bool, ours.broken_by))} of {len(images)} broken, {differ} verdicts differ",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(compare)
