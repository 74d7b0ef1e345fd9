"""What 1,000 permutations of one pair of networks cost, beside the features that they are of.

``python -m benchmarks.permutation_speed`` compares two networks of 60 layers on 512 images in
minibatches of 64, and prints CPU seconds of the permutations over those of one forward pass of a
ResNet-18 over as many images of 224x224, in the same run. Run it on a quiet machine.
"""

import time

import timm
import torch
import typer

from clbench.probes.similarity.gram import centred_gram
from clbench.probes.similarity.minibatches import MINIBATCH
from clbench.probes.similarity.null import Shuffle
from clbench.probes.similarity.permutations import Triangles

LAYERS, IMAGES, SIDE, WIDTH = 60, 512, 224, 32


def permuted(permutations: int) -> float:
    """Return the CPU seconds of the values in other orders, any and within classes."""
    drawn, kept = torch.Generator().manual_seed(0), Triangles()
    for start in range(0, IMAGES, MINIBATCH):
        grams = {
            name: torch.stack(
                [
                    centred_gram(torch.randn(MINIBATCH, WIDTH, generator=drawn)).flatten()
                    for _ in range(LAYERS)
                ]
            )
            for name in ("rows", "columns")
        }
        kept.add(grams, torch.arange(start, start + MINIBATCH))
    began = time.process_time()
    kept.draws([("rows", "columns")], Shuffle(permutations, 0))
    return time.process_time() - began


def forward() -> float:
    """Return the CPU seconds of the features."""
    network = timm.create_model("resnet18").eval().to(memory_format=torch.channels_last)
    images = torch.rand(MINIBATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    began = time.process_time()
    with torch.no_grad():
        for _ in range(IMAGES // MINIBATCH):
            network(images)
    return time.process_time() - began


def main(permutations: int = 1000, threads: int = 1) -> None:
    """Print the ratio."""
    torch.set_num_threads(threads)
    forward()
    features, orders = forward(), permuted(permutations)
    print(
        f"{permutations:,} orders of {LAYERS} x {LAYERS} layers, {IMAGES} images: {orders:.1f} s; "
        f"ResNet-18 at {SIDE}: {features:.1f} s; ratio {orders / features:.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
