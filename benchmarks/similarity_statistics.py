"""How often intervals of CKA hold the truth, and how often chance alone is called similarity.

``python -m benchmarks.similarity_statistics`` simulates features whose CKA over infinitely many
examples is known, and unrelated ones, and writes both tables to
``benchmarks/results/similarity_statistics.md``; a quarter of an hour on one quiet core.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
import typer
from jaxtyping import Float64
from torch import Tensor

from clbench.probes.similarity.gram import centred_gram
from clbench.probes.similarity.hsic import MinibatchSums
from clbench.probes.similarity.matrix import summarise
from clbench.probes.similarity.minibatches import MINIBATCH
from clbench.probes.similarity.null import Shuffle, null_of
from clbench.probes.similarity.permutations import Triangles

RESULTS = Path(__file__).parent / "results" / "similarity_statistics.md"
GROUPS = (5, 8, 20)
CPU = torch.device("cpu")

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""Draws examples: how many, and by what; returns both representations."""

Features = Float64[Tensor, "n d"]


def normal(*shape: int, by: torch.Generator) -> Tensor:
    """Return independent normal numbers."""
    return torch.randn(*shape, generator=by, dtype=torch.float64)


def linear(width: int, other: int, noise: float, decay: float) -> tuple[Draw, float]:
    """Return a side and a linear map of it with noise, and their CKA.

    Args:
        width: Features of the first side; their variances fall by ``decay`` orders of ten.
        other: Features of the second.
        noise: Its standard deviation, where the mapped features have about 1.
        decay: See above.
    """
    seeded = torch.Generator().manual_seed(0)
    lengths = torch.logspace(0, -decay / 2, width, dtype=torch.float64)
    mixing = normal(width, other, by=seeded) / math.sqrt(width)
    variance = torch.diag(lengths**2)
    own = mixing.T @ variance @ mixing + noise**2 * torch.eye(other, dtype=torch.float64)
    truth = (variance @ mixing).norm() ** 2 / (variance.norm() * own.norm())

    def draw(n: int, by: torch.Generator) -> tuple[Tensor, Tensor]:
        x = normal(n, width, by=by) * lengths
        return x, x @ mixing + noise * normal(n, other, by=by)

    return draw, float(truth)


def heavy_tailed(width: int, noise: float) -> tuple[Draw, float]:
    """Return two sides whose examples are of very different lengths, and their CKA."""

    def draw(n: int, by: torch.Generator) -> tuple[Tensor, Tensor]:
        lengths = torch.exp(normal(n, 1, by=by) / 2)
        x = normal(n, width, by=by)
        return lengths * x, lengths * (x + noise * normal(n, width, by=by))

    return draw, 1 / (1 + noise**2)


SETTINGS = {
    "half alike, narrow": linear(20, 10, 0.5, 2.0),
    "little alike, wide": linear(100, 60, 2.0, 0.0),
    "nearly the same": linear(20, 20, 0.05, 2.0),
    "nearly unrelated": linear(20, 10, 8.0, 0.0),
    "examples of very different lengths": heavy_tailed(10, 0.5),
}


def covers(draw: Draw, truth: float, groups: int, by: torch.Generator) -> bool:
    """Say whether one interval from as many minibatches holds the truth."""
    sums = MinibatchSums({"x": ["a"], "y": ["a"]}, [("x", "y")], groups, CPU)
    for group in range(groups):
        x, y = draw(MINIBATCH, by)
        grams = {"x": {"a": centred_gram(x)}, "y": {"a": centred_gram(y)}}
        sums.add(grams, MINIBATCH, group)
    value, *left_out = sums.result().scores().stacks["x", "y"].flatten().tolist()
    found = summarise("cka", value, left_out, groups * MINIBATCH)
    return found.low <= truth <= found.high


def alarmed(layers: int, by: torch.Generator) -> bool:
    """Say whether any two layers of two unrelated networks are called more alike than by chance."""
    kept, n = Triangles(), MINIBATCH
    sums = MinibatchSums(
        {name: [str(layer) for layer in range(layers)] for name in "xy"}, [("x", "y")], 2, CPU
    )
    for start in range(0, 2 * n, n):
        grams = {name: dict(_network(layers, n, by)) for name in "xy"}
        kept.add(sums.add(grams, n, start // n), torch.arange(start, start + n))
    values = sums.result().scores().stacks["x", "y"][0].numpy()
    draws = kept.draws([("x", "y")], Shuffle(199, int(torch.randint(2**31, (), generator=by))))
    null = null_of("any", values, draws["x", "y"].numpy(), (0.0, 1.0))
    return bool((null.p_adjusted <= 0.05).any())


def _network(layers: int, n: int, by: torch.Generator) -> list[tuple[str, Features]]:
    """Return the Gram matrices of layers that follow from each other, as those of a network do."""
    features, found = normal(n, 16, by=by), []
    for layer in range(layers):
        weights = normal(16, 16, by=torch.Generator().manual_seed(layer)) / 2
        features = (features @ weights).relu()
        found.append((str(layer), centred_gram(features)))
    return found


def main(trials: int = 4000, alarm_trials: int = 500) -> None:
    """Simulate everything and write the tables."""
    lines = [
        f"{trials:,} trials each, of {MINIBATCH} examples a minibatch.",
        "",
        "| features | CKA | minibatches | coverage, % |",
        "|:---|---:|---:|---:|",
    ]
    by = torch.Generator().manual_seed(1)
    for name, (draw, truth) in SETTINGS.items():
        for groups in GROUPS:
            share = sum(covers(draw, truth, groups, by) for _ in range(trials)) / trials
            lines.append(f"| {name} | {truth:.3f} | {groups} | {100 * share:.1f} |")
            print(lines[-1], flush=True)
    lines += [
        "",
        f"{alarm_trials} pairs of unrelated networks, 128 examples, 199 orders of them, at 5 %.",
        "",
        "| layers of each | pairs of networks with an alarm, % |",
        "|---:|---:|",
    ]
    for layers in (1, 5, 12):
        share = sum(alarmed(layers, by) for _ in range(alarm_trials)) / alarm_trials
        lines.append(f"| {layers} | {100 * share:.1f} |")
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
