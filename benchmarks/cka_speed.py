"""CKA of all layers of a ResNet-18 with one another: clbench, torch_cka and the bare network.

Run it with ``python benchmarks/cka_speed.py --data test.npz`` on a quiet machine, where the file
holds ``x`` uint8 [n, 32, 32, 3]. torch_cka takes minutes for 512 images; ``--n 128`` is quicker.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch_cka
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from clbench.models.backbone import build_backbone
from clbench.probes import Inputs, View, compare, select_taps
from clbench.probes.features import fastest_layout

SIZE = 64
CPU = torch.device("cpu")


def measure(
    data: Path | None = None, n: int = 512, repeats: int = 3, peer: bool = True, threads: int = 2
) -> None:
    """Print the seconds of each and both ratios; ``--no-peer`` leaves torch_cka out."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images = read(data, n)
    network = warm_network(images)
    taps = select_taps(network, ["all"])
    view = View("network", network, Inputs(images), taps)
    with torch.no_grad():
        layout = fastest_layout(network, images[:2], CPU)

    def forward() -> None:
        with torch.no_grad():
            for batch in images.split(SIZE):
                network(batch.contiguous(memory_format=layout))

    def ours(precision: str = "float32") -> Tensor:
        found = compare([view], device=CPU, batch_size=SIZE, precision=precision)
        return torch.tensor(found.block("network", "network").values)

    forward()
    bare = [seconds(forward) for _ in range(1)]
    probe = []
    for _ in range(repeats):
        probe.append(seconds(ours))
        bare.append(seconds(forward))
    error = float((ours() - ours("float64")).abs().max())
    print(f"{len(taps)} modules, {n} images, {threads} threads, {layout}")
    print(f"forward passes alone {min(bare):8.2f} s")
    print(f"clbench              {min(probe):8.2f} s, {min(probe) / min(bare):.2f} x the forward")
    print(f"                     values differ from those in float64 by {error:.1e} at most")
    if peer:
        theirs = seconds(lambda: run_torch_cka(network, list(taps), images))
        print(f"torch_cka            {theirs:8.2f} s, {theirs / min(probe):.1f} x clbench")


def read(data: Path | None, n: int) -> Tensor:
    """Return ``n`` images in [0, 1]: the first of a file, or random ones."""
    if data is None:
        return torch.rand(n, 3, 32, 32)
    return torch.from_numpy(np.load(data)["x"][:n]).permute(0, 3, 1, 2).contiguous() / 255


def warm_network(images: Tensor) -> nn.Module:
    """Return a network whose layers all vary and whose batch norms know the images."""
    network = build_backbone("resnet18", in_chans=3, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    with torch.no_grad():
        network(images[:SIZE])
    return network.eval()


def run_torch_cka(network: nn.Module, taps: list[str], images: Tensor) -> None:
    """Compare all layers with one another, as the package's own documentation does."""
    layers = ["" if tap == "logits" else tap for tap in taps]
    loader = DataLoader(TensorDataset(images), batch_size=SIZE)
    with torch.no_grad():
        cka = torch_cka.CKA(network, network, "rows", "columns", layers, layers, device="cpu")
        cka.compare(loader, loader)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of some work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(measure)
