"""Eight architectures of timm: eval and probe run, and the verdicts are those of pyautoattack.

``python -m benchmarks.timm_architectures FILE`` runs what is not there yet, some minutes a network,
and prints the table; ``FILE`` holds the first CIFAR-10 test images. The networks are narrow, for
images of 32 x 32, and not trained: a seed decides their weights, batch norms and the classifier
are then set on the images, so that every class occurs, and what a network predicts is the label.
Its eps is the one of a ladder at which about half of the images stand a first look. Results are
kept in ``benchmarks/results/timm_architectures``, a file for each network.
"""

import json
import math
import time
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
import typer
from timm.models.mlp_mixer import MlpMixer
from torch import nn

import clbench
from clbench.data.image_set import ImageSet
from clbench.evaluation.evaluation import Evaluation
from clbench.schema.threat_model import format_eps

RESULTS = Path(__file__).parent / "results" / "timm_architectures"

N, CLASSES, SIDE, SEED = 64, 10, 32, 0

LADDER = [
    format_eps(Fraction(k, 10_200))
    for k in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320)
]
"""Values of eps that are tried, from 0.025 to 8 levels of 255."""

_BLOCKS = {"layers": (1, 1, 1, 1), "zero_init_last": False}
_WINDOWS = {"window_size": 4, "depths": (1, 1), "num_heads": (2, 4)}
_TOKENS = {"img_size": SIDE, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 4}

NARROW: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet18", {**_BLOCKS, "channels": (16, 32, 64, 128)}),
    "wide_resnet": ("wide_resnet50_2", {**_BLOCKS, "channels": (8, 16, 32, 64)}),
    "vit": ("vit_tiny_patch16_224", _TOKENS),
    "deit": ("deit_tiny_distilled_patch16_224", _TOKENS),
    "convnext": (
        "convnext_atto",
        {"depths": (1, 1, 2, 1), "dims": (16, 32, 48, 64), "patch_size": 2, "ls_init_value": 1.0},
    ),
    "mlp_mixer": (
        "MlpMixer",
        {"img_size": SIDE, "patch_size": 8, "num_blocks": 4, "embed_dim": 64},
    ),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": SIDE, "embed_dim": 16, **_WINDOWS},
    ),
    "efficientnet": ("test_efficientnet", {}),
}
"""By the name of a result: what timm calls the architecture, and what makes it narrow."""


def network_of(name: str, images: torch.Tensor) -> nn.Module:
    """Return a network in eval mode that tells images [n, c, h, w] apart, without any training."""
    architecture, options = NARROW[name]
    make = MlpMixer if architecture == "MlpMixer" else timm.create_model
    words = () if make is MlpMixer else (architecture,)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        network: nn.Module = make(*words, num_classes=CLASSES, **options)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # statistics are then those of all that it has seen
        network.train()(images)
    network.eval()
    _spread(network, images)
    return network


@torch.no_grad()
def _spread(network: nn.Module, images: torch.Tensor) -> None:
    """Set the classifier such that the logits of every class have mean 0 and deviation 1."""
    classifier = network.get_classifier()
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    for part in parts:  # some begin with zeros
        nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(SEED))
    logits = network(images)
    mean, std = logits.mean(dim=0), logits.std(dim=0)
    for part in parts:  # the answer is their mean
        part.weight /= std[:, None]
        part.bias.copy_((part.bias - mean) / std)


def robust(evaluation: Evaluation) -> str:
    """Return verdicts as text: 1 for each example that stays robust, else 0."""
    return "".join(str(int(one == "")) for one in evaluation.examples.broken_by)


def find_eps(network: nn.Module, data: ImageSet) -> str:
    """Return the eps at which nearest to half of the images stand a first look."""

    @cache
    def apart(eps: str) -> float:
        look = clbench.evaluate(
            network, data=data, eps=eps, attack="pgd,steps=20", probe=False, seed=SEED
        )
        return look.record.measure("robust_acc").value - 1 / 2

    low, high = 0, len(LADDER) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if apart(LADDER[middle]) > 0 else (low, middle)
    return min((LADDER[low], LADDER[high]), key=lambda eps: abs(apart(eps)))


def run_one(name: str, pixels: torch.Tensor) -> dict[str, Any]:
    """Return what eval, by both backends, and probe say of a network."""
    network = network_of(name, pixels)
    with torch.no_grad():
        labels = network(pixels).argmax(dim=1)
    data = clbench.load_data((pixels, labels))
    eps = find_eps(network, data)
    done, seconds = {}, {}
    for backend in ("native", "pyautoattack"):
        started = time.perf_counter()
        done[backend] = clbench.evaluate(
            network,
            data=data,
            eps=eps,
            attack="autoattack",
            backend=backend,
            seed=SEED,
            probe=backend == "native",
        )
        seconds[backend] = round(time.perf_counter() - started)
    record = done["native"].record
    probed = clbench.probe(
        {name: network}, data=data, eps=eps, comparisons=["adversarial-clean"], seed=SEED
    )
    similar = probed.find("adversarial-clean", name)
    assert similar is not None, "it was asked for"
    return {
        "architecture": NARROW[name][0],
        "parameters": sum(one.numel() for one in network.parameters()),
        "classes": len(labels.unique()),
        "eps": eps,
        "clean": record.measure("clean_acc").value,
        "robust": {backend: robust(one) for backend, one in done.items()},
        "flags": list(record.flag_names),
        "columns": {
            one.name: None if math.isnan(one.value) else one.value
            for one in record.measures
            if one.name.startswith("cka_")
        },
        "layers": {
            layer: similar.entry(layer, layer, layer).value for layer in similar.rows.layers
        },
        "seconds": seconds,
        "versions": record.versions,
    }


def row(name: str) -> str:
    """Return a line of the table: one network and what was found."""
    found = json.loads((RESULTS / f"{name}.json").read_text())
    engine, package = (found["robust"][backend] for backend in ("native", "pyautoattack"))
    differ = sum(one != two for one, two in zip(engine, package, strict=True))
    layers = list(found["layers"])
    cells = (
        f"`{name}` ({found['architecture']})",
        f"{found['parameters'] / 1000:.0f} k",
        f"{layers[0]} ... {layers[-3]}, {layers[-2]}, {layers[-1]}",
        found["eps"],
        *(f"{one.count('1')} of {len(one)}" for one in (engine, package)),
        str(differ),
        f"{found['columns']['cka_mean']:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def table() -> list[str]:
    """Return the lines of the table of all that there is, as docs/networks.md shows it."""
    return [row(name) for name in NARROW if (RESULTS / f"{name}.json").exists()]


def main(file: Path, name: list[str] | None = None) -> None:
    """Run what is not there yet, and print the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    pixels = clbench.load_data(file, n_examples=N).images[:]
    for one in name or NARROW:
        path = RESULTS / f"{one}.json"
        if not path.exists():
            path.write_text(json.dumps(run_one(one, pixels), indent=1) + "\n")
            print(row(one), flush=True)
    print(*table(), sep="\n")


if __name__ == "__main__":
    typer.run(main)
