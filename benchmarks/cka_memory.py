"""Peak memory of the CKA of many images against that of few, in processes of their own.

Run it with ``python benchmarks/cka_memory.py``. It exits with 1 if the two differ by over 10 %.
The images take no memory themselves: they are overlapping windows of one strip of noise.
"""

import multiprocessing
import resource

import torch
import typer

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, Representation

LARGEST_RATIO = 1.1
SHAPE = (3, 32, 32)


def peak(n: int, backbone: str) -> float:
    """Return the MiB that a process needs at most to compare ``n`` images with others."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size = SHAPE[0] * SHAPE[1] * SHAPE[2]
    images = torch.rand(n + size).unfold(0, size, 1).unflatten(1, SHAPE)
    network = build_backbone(backbone, in_chans=SHAPE[0], num_classes=10).eval()
    clean, shifted = Inputs(images[:n], "windows"), Inputs(images[1:], "windows")
    compare(
        [Representation("clean", network, clean), Representation("shifted", network, shifted)],
        device=torch.device("cpu"),
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(few: int = 1000, many: int = 10_000, backbone: str = "resnet18_w16") -> None:
    """Print the peak of each and their ratio."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = [pool.apply(peak, (n, backbone)) for n in (few, many)]
    for n, mib in zip((few, many), peaks, strict=True):
        print(f"{n:7d} images {mib:8.0f} MiB")
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f}")
    raise typer.Exit(1 if ratio > LARGEST_RATIO else 0)


if __name__ == "__main__":
    typer.run(measure)
