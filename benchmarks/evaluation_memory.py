"""Peak memory of evaluations on a folder of pictures, in processes of their own.

Run it with ``python benchmarks/evaluation_memory.py``; it takes some ten minutes and little of the
disk: the folder holds a few pictures, under many names. It exits with 1 if an evaluation takes over
3 GB, or the largest one over 10 % more than the smallest. ``--probe`` adds the CKA columns, whose
attack has 20 times the steps; ``--few 500 --many 1000 --most 2000`` makes that bearable.
"""

import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image
from torch import nn

import clbench

LARGEST_RATIO = 1.1
MOST_GB = 3.0
SIDE = 224
CLASSES = 10


def write_pictures(folder: Path, n: int) -> None:
    """Fill a folder with pictures, of which there is one for each class, under many names."""
    coarse = np.random.default_rng(0).integers(0, 256, (CLASSES, 7, 7, 3), dtype=np.uint8)
    for label, colours in enumerate(coarse):
        (folder / str(label)).mkdir()
        first = folder / str(label) / "00000.jpg"
        Image.fromarray(colours).resize((SIDE, SIDE)).save(first)
        for number in range(1, n // CLASSES):
            os.link(first, first.with_name(f"{number:05d}.jpg"))


def make_network() -> nn.Module:
    """Return a network that makes its images small at once."""
    torch.manual_seed(0)
    pixels = nn.Conv2d(3, 8, 16, stride=16)
    return nn.Sequential(pixels, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, CLASSES)).eval()


def peak(n: int, attack: str, *, probe: bool, keep: bool) -> tuple[float, float]:
    """Return the GB that a process needs at most to evaluate on ``n`` pictures, and its seconds."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        write_pictures(pictures, n)
        before = time.perf_counter()
        clbench.evaluate(
            make_network(),
            data=pictures,
            attack=attack,
            eps="1/255",
            out=Path(folder) / "out",
            probe=probe,
            save_adversarial=keep,
        )
        seconds = time.perf_counter() - before
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, seconds


def measure(
    few: int = 1000,
    many: int = 5000,
    most: int = 10_000,
    attack: str = "apgd-ce,n_iter=2",
    *,
    probe: bool = False,
    save_adversarial: bool = False,
) -> None:
    """Print the peak of each number of pictures, and the ratio of the most to the fewest."""
    peaks = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for n in (few, many, most):
            how = {"probe": probe, "keep": save_adversarial}
            peaks[n], seconds = pool.apply(peak, (n, attack), how)
            print(f"{n:7,d} pictures {peaks[n]:6.2f} GB {seconds:6.0f} s", flush=True)
    ratio = peaks[most] / peaks[few]
    print(f"ratio {ratio:.3f}")
    raise typer.Exit(1 if ratio > LARGEST_RATIO or max(peaks.values()) > MOST_GB else 0)


if __name__ == "__main__":
    typer.run(measure)
