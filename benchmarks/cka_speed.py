"""CKA of all names of a ResNet-18 with one another: clbench, torch_cka and the bare network.

Run it with ``python benchmarks/cka_speed.py --data test.npz`` on a quiet machine, where the file
holds ``x`` uint8 [n, 32, 32, 3]. torch_cka takes minutes for 512 images; with ``--peer-rows 3`` it
fills three of the 61 rows of the matrix, and the time of the others is reckoned from theirs.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch_cka
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from clbench.models.backbones.resnet import build_backbone
from clbench.probes.features import fastest_layout
from clbench.probes.layers import select_layers
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, Representation

SIZE = 64
CPU = torch.device("cpu")


def measure(
    data: Path | None = None,
    n: int = 512,
    peer_rows: int = 61,
    repeats: int = 3,
    threads: int = 2,
) -> None:
    """Print what each needs for an image, of wall and of CPU time, and the ratios.

    Fewer than 320 images are divided for the interval, and then our minibatches are the smaller.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images = read(data, n)
    network = warm_network(images)
    layers = select_layers(network, ["all"])
    names = ["" if layer == "logits" else layer for layer in layers]
    rows = names[:: len(names) // peer_rows][:peer_rows]

    def ours(precision: str = "float32") -> np.ndarray:
        representation = Representation("network", network, Inputs(images), layers)
        found = compare([representation], device=CPU, batch_size=SIZE, precision=precision)
        return found.matrix("network", "network").values

    bare, probe, peer = best_times(
        lambda: run_network(network, images),
        ours,
        lambda: run_torch_cka(network, rows, names, images),
        repeats=repeats,
    )
    passes = 2 * bare  # torch_cka runs one network for the rows and one for the columns
    peer = passes + (peer - passes) * len(names) / len(rows)
    print(f"{len(layers)} modules, {n} images, {threads} threads, best of {repeats}")
    for name, times in (("forward passes", bare), ("clbench", probe), ("torch_cka", peer)):
        print("{:16s} {:8.2f} ms an image, {:8.2f} of CPU".format(name, *(1e3 * times / n)))
    print("clbench / forward passes   {:6.2f}, of CPU {:6.2f}".format(*(probe / bare)))
    print("torch_cka / clbench        {:6.2f}, of CPU {:6.2f}".format(*(peer / probe)))
    print(
        f"our values differ from those in float64 by {np.abs(ours() - ours('float64')).max():.1e}"
    )


def best_times(*works: Callable[[], object], repeats: int) -> list[np.ndarray]:
    """Return the least seconds of wall and of CPU time of each work, done in turn."""
    times = [[spent(work) for work in works] for _ in range(repeats)]
    return list(np.min(times, axis=0))


def run_network(network: nn.Module, images: Tensor) -> None:
    """Run the network as the probe does, and nothing else."""
    with torch.no_grad():
        layout = fastest_layout(network, images[:2], CPU)
        for batch in images.split(SIZE):
            network(batch.contiguous(memory_format=layout))


def read(data: Path | None, n: int) -> Tensor:
    """Return ``n`` images in [0, 1]: the first of a file, or random ones."""
    if data is None:
        return torch.rand(n, 3, 32, 32)
    return torch.from_numpy(np.load(data)["x"][:n]).permute(0, 3, 1, 2).contiguous() / 255


def warm_network(images: Tensor) -> nn.Module:
    """Return a network whose names all vary and whose batch norms know the images."""
    network = build_backbone("resnet18", in_chans=3, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    with torch.no_grad():
        network(images[:SIZE])
    return network.eval()


def run_torch_cka(network: nn.Module, rows: list[str], columns: list[str], images: Tensor) -> None:
    """Compare names as the documentation of the package does."""
    loader = DataLoader(TensorDataset(images), batch_size=SIZE)
    with torch.no_grad():
        # two copies, since it listens to both sides by one hook each
        pair = copy.deepcopy(network), copy.deepcopy(network)
        cka = torch_cka.CKA(*pair, "rows", "columns", rows, columns, device="cpu")
        cka.compare(loader, loader)


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of wall and of CPU time that some work takes."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


if __name__ == "__main__":
    typer.run(measure)
