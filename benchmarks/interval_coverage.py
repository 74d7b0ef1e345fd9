"""How often 95 % intervals and rank bands hold the truth, in simulated evaluations.

``python -m benchmarks.interval_coverage`` simulates all settings 4,000 times, in a minute or two,
prints the table and writes it to ``benchmarks/results/interval_coverage.md``.

Networks are right on an image where ability plus ease of the image plus luck is above 0, all three
normal; seeds of a recipe differ in ability and in luck. So networks err on the same images, as they
do, and the true accuracies are known.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import typer
from jaxtyping import Bool
from scipy.special import ndtri

from clbench.analysis.pairs import discordant, exact_mcnemar, rank_bands
from clbench.analysis.seed_groups import difference_of_groups, mean_over_seeds
from clbench.schema.estimate import Estimate, paired_difference, proportion

RESULTS = Path(__file__).parent / "results" / "interval_coverage.md"

EASE = 2.0
"""Standard deviation of the ease of images, where that of luck is 1."""

Generator = np.random.Generator
Trial = Callable[[Generator], bool]
"""Simulates once, and says whether the truth was held."""


class Setting(NamedTuple):
    """What is simulated, in words, and how."""

    kind: str
    what: str
    trial: Trial


def evaluations(
    accuracies: Sequence[float], n: int, generator: Generator, *, seeds: int = 1, sd: float = 0.0
) -> Bool[np.ndarray, "k seeds n"]:
    """Return on which of ``n`` images networks of these accuracies are right.

    Args:
        accuracies: In the mean over all images and seeds.
        n: Images.
        generator: Of random numbers.
        seeds: Trainings of each.
        sd: Standard deviation of the ability from seed to seed.
    """
    scale = np.sqrt(EASE**2 + 1 + sd**2)
    ability = ndtri(np.asarray(accuracies))[:, None, None] * scale
    of_seeds = sd * generator.standard_normal((len(accuracies), seeds, 1))
    luck = generator.standard_normal((len(accuracies), seeds, n))
    right: np.ndarray = ability + of_seeds + EASE * generator.standard_normal(n) + luck > 0
    return right


def holds(found: Estimate, truth: float) -> bool:
    """Say whether an interval holds the truth."""
    return found.low <= truth <= found.high


def of_accuracy(share: float, n: int) -> Setting:
    """Return one accuracy on ``n`` images."""

    def trial(generator: Generator) -> bool:
        return holds(proportion("", int(generator.binomial(n, share)), n), share)

    return Setting("accuracy", f"{share:.1%} of {n:,}", trial)


def of_pair(one: float, other: float, n: int) -> Setting:
    """Return the difference of two networks on the same images."""

    def trial(generator: Generator) -> bool:
        (first,), (second,) = evaluations((one, other), n, generator)
        gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
        return holds(paired_difference("", gained, lost, n), one - other)

    return Setting("paired difference", f"{one:.1%} and {other:.1%} of {n:,}", trial)


def of_rare_pair(one: float, other: float, n: int) -> Setting:
    """Return the difference of two networks of which each is alone right on few images."""

    def trial(generator: Generator) -> bool:
        gained, lost, _ = generator.multinomial(n, (one, other, 1 - one - other)).tolist()
        return holds(paired_difference("", gained, lost, n), one - other)

    return Setting("paired difference", f"alone right on {one:.1%} and {other:.1%} of {n:,}", trial)


def of_seeds(share: float, n: int, seeds: int, sd: float) -> Setting:
    """Return the mean over seeds of a recipe."""

    def trial(generator: Generator) -> bool:
        (right,) = evaluations((share,), n, generator, seeds=seeds, sd=sd)
        return holds(mean_over_seeds("", right), share)

    return Setting("seeds", f"{seeds} seeds, {share:.0%} of {n:,}, {_spread(share, sd)}", trial)


def of_two_recipes(one: float, other: float, n: int, seeds: int, sd: float) -> Setting:
    """Return the difference of two recipes, each of some seeds."""

    def trial(generator: Generator) -> bool:
        sides = evaluations((one, other), n, generator, seeds=seeds, sd=sd)
        return holds(difference_of_groups("", *sides).difference, one - other)

    what = f"{seeds} seeds each, {one:.0%} and {other:.0%} of {n:,}, {_spread(one, sd)}"
    return Setting("recipes", what, trial)


def of_ranks(accuracies: Sequence[float], n: int) -> Setting:
    """Return whether the bands of all networks hold their true ranks at once."""
    truth = np.asarray(accuracies)
    best = 1 + (truth[:, None] > truth).sum(axis=0)
    worst = len(truth) - (truth[:, None] < truth).sum(axis=0)

    def trial(generator: Generator) -> bool:
        right = evaluations(accuracies, n, generator)[:, 0]
        counts = discordant(right)
        bands = rank_bands(right.mean(axis=1), exact_mcnemar(counts, counts.T))
        return all(
            band.low <= low and high <= band.high
            for band, low, high in zip(bands, best, worst, strict=True)
        )

    shown = ", ".join(f"{one:.0%}" for one in accuracies)
    return Setting("rank bands", f"{shown} of {n:,}", trial)


def _spread(share: float, sd: float) -> str:
    """Return in words how far accuracies of seeds are apart beyond chance."""
    scale = np.sqrt(EASE**2 + 1 + sd**2)
    slope = np.exp(-(ndtri(share) ** 2) / 2) / np.sqrt(2 * np.pi)
    return f"{100 * slope * sd / scale:.1f} points from seed to seed"


SETTINGS = (
    *(of_accuracy(share, n) for n in (360, 1_000, 10_000) for share in (0.05, 0.3, 0.5, 0.7, 0.98)),
    *(
        of_pair(*pair, n)
        for n in (360, 1_000, 10_000)
        for pair in ((0.7, 0.7), (0.72, 0.7), (0.5, 0.3), (0.05, 0.03))
    ),
    *(
        of_rare_pair(*alone, n)
        for n in (360, 1_000)
        for alone in ((0.02, 0.02), (0.03, 0.01), (0.1, 0.01))
    ),
    *(
        of_seeds(share, n, seeds, sd)
        for seeds in (3, 5, 8)
        for share, n in ((0.7, 360), (0.3, 1_000), (0.5, 10_000))
        for sd in (0.0, 0.05, 0.15, 0.4)
    ),
    *(
        of_two_recipes(0.72, 0.7, 1_000, seeds, sd)
        for seeds in (3, 5, 8)
        for sd in (0.0, 0.05, 0.15, 0.4)
    ),
    of_ranks([0.7] * 5, 360),
    of_ranks([0.7] * 10, 360),
    of_ranks([0.7, 0.7, 0.7, 0.5, 0.5, 0.5], 1_000),
    of_ranks([0.74, 0.73, 0.72, 0.71, 0.7, 0.69, 0.68, 0.67, 0.66, 0.65], 1_000),
    of_ranks([0.75, 0.7, 0.7, 0.7, 0.6, 0.6, 0.3, 0.02, 0.02, 0.0001], 360),
)


def coverage(setting: Setting, trials: int, seed: int) -> float:
    """Return the share of trials in which the truth was held."""
    generator = np.random.default_rng(seed)
    return sum(setting.trial(generator) for _ in range(trials)) / trials


def table(trials: int) -> str:
    """Return the coverage of every setting as a table of Markdown."""
    rows = [
        f"| {one.kind} | {one.what} | {100 * coverage(one, trials, seed):.1f} |"
        for seed, one in enumerate(SETTINGS)
    ]
    return "\n".join(("| what | setting | coverage, % |", "|:---|:---|---:|", *rows)) + "\n"


def main(trials: int = 4_000) -> None:
    """Simulate every setting, print the table and keep it."""
    found = table(trials)
    print(found, end="")
    RESULTS.write_text(f"{trials:,} trials each.\n\n{found}", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
