"""All layers of two networks against each other: clbench, and pytorch-cka of today.

``python -m benchmarks.similarity_rival`` on a quiet machine, after ``pip install pytorch-cka``. For
a ResNet-18 and a ViT, it prints the CPU time of both in one run, and how far the values of each
are from the definition in float64. The rival keeps
what hooks see without a copy, so what a network overwrites in place is compared after it was
overwritten, and sums Gram matrices that are not centred in float32: its median error and its
largest are both told.
"""

import time
from collections.abc import Callable

import cka as pytorch_cka
import numpy as np
import timm
import torch
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from clbench.probes.layers import Layers, select_layers
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.minibatches import MINIBATCH, shuffled
from clbench.probes.similarity.representations import Inputs, Representation

CPU = torch.device("cpu")
NETWORKS = {
    "resnet18": {"name": "resnet18", "size": 64},
    "vit_tiny": {"name": "vit_tiny_patch16_224", "size": 64, "img_size": 64},
}


def built(name: str, size: int, n: int, **options: int) -> tuple[nn.Module, Tensor]:
    """Return a network whose batch norms know the images, and these."""
    torch.manual_seed(0)
    network, images = (
        timm.create_model(name, num_classes=10, **options),
        torch.rand(n, 3, size, size),
    )
    with torch.no_grad():
        for parameter in network.parameters():  # gammas of 0 would make layers constant
            parameter.add_(0.02 * torch.randn_like(parameter))
        network.train()(images[:MINIBATCH])
    return network.eval(), images


def passed(network: nn.Module, images: Tensor, layers: Layers) -> Layers:
    """Return the layers that a tensor passes; the rival takes no others."""
    one = Representation("network", network, Inputs(images[:MINIBATCH]), layers)
    axis = compare([one], device=CPU).matrix("network", "network").rows
    defined = (name for name, why in zip(axis.layers, axis.reasons, strict=True) if not why)
    return {name: layers[name] for name in defined}


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the CPU seconds of some work, and what it found."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def main(n: int = 512, threads: int = 1) -> None:
    """Print ratios and errors; of 320 images or more, all minibatches have 64."""
    torch.set_num_threads(threads)
    for label, options in NETWORKS.items():
        network, images = built(n=n, **options)  # type: ignore[arg-type]
        layers = select_layers(network, ["all"])
        layers.pop("logits")
        layers = passed(network, images, layers)
        names = list(layers)
        loader = DataLoader(TensorDataset(images[shuffled(n, 0)]), batch_size=MINIBATCH)

        def ours(precision: str = "float32") -> np.ndarray:
            one = Representation("network", network, Inputs(images), layers)  # noqa: B023
            found = compare([one], device=CPU, precision=precision).matrix("network", "network")
            return found.take(names).values  # noqa: B023

        def theirs() -> np.ndarray:
            pair = network, network  # noqa: B023
            (found,) = pytorch_cka.compute_cka(*pair, loader, layers=names, progress=False)  # noqa: B023
            return found.numpy()

        ours(), theirs()
        exact = ours("float64")
        (our_time, our_values), (their_time, their_values) = timed(ours), timed(theirs)
        apart = np.abs(their_values - exact)
        print(
            f"{label}: {len(names)} layers, {n} images; clbench {our_time:.1f} s, pytorch-cka "
            f"{their_time:.1f} s, ratio {our_time / their_time:.2f}; largest error "
            f"{np.abs(our_values - exact).max():.1e} and {apart.max():.1e} (median "
            f"{np.median(apart):.1e})"
        )


if __name__ == "__main__":
    typer.run(main)
