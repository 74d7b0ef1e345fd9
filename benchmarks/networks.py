"""Networks that attacks are compared on: the zoo's, and four of other kinds for handwritten digits.

Those four were trained here, adversarially: ``python -m benchmarks.networks`` writes their weights
again into ``benchmarks/weights``, in some ten minutes.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
import typer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from clbench.attacks.native.pgd import ascend
from clbench.attacks.norms import NORMS
from clbench.data.image_set import ImageSet
from clbench.data.load import load_images, load_test_set, training_set
from clbench.models.load import load_model

WEIGHTS = Path(__file__).parent / "weights"

EPOCHS, BATCH, RATE, STEPS = 40, 64, 2e-3, 5
EPS, STEP = 1 / 6, 1 / 15


class Normless(nn.GroupNorm):
    """The normalisation of a network without batch norm: within an image."""

    def __init__(self, channels: int) -> None:
        super().__init__(4, channels)


class Block(nn.Module):
    """A pre-activation block of a wide ResNet."""

    def __init__(
        self, before: int, after: int, stride: int, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.short = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, changed."""
        x = self.norm1(x).relu()
        return self.conv2(self.norm2(self.conv1(x)).relu()) + self.short(x)


def wide_resnet(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    """Return a small wide ResNet."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1, bias=False),
        *(Block(16, 32, 1, norm), Block(32, 64, 2, norm)),
        *(norm(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


def cnn() -> nn.Module:
    """Return a plain CNN."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def vit() -> nn.Module:
    """Return a small vision transformer."""
    return VisionTransformer(
        *(8, 2), in_chans=1, num_classes=10, embed_dim=48, depth=3, num_heads=3, mlp_ratio=2
    )


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "cnn": cnn,
    "wide_resnet": wide_resnet,
    "group_norm": partial(wide_resnet, Normless),
    "vit": vit,
}


class Case(NamedTuple):
    """A network and images for it."""

    network: nn.Module
    images: ImageSet


def of_zoo(name: str, dataset: str, n: int, file: Path | None = None) -> Case:
    """Return a network of the zoo, and its first test images, from a file for CIFAR-10."""
    images = load_images(file or dataset, n_examples=n)
    _, c, h, w = images.images.shape
    network = load_model(name, dataset=dataset, n_classes=10, shape=(c, h, w)).network
    return Case(network, images)


def other(name: str, n: int) -> Case:
    """Return a network of another kind, and the first digits for testing."""
    network = OTHERS[name]()
    halves = safetensors.torch.load_file(WEIGHTS / f"{name}.safetensors")
    network.load_state_dict({key: value.to(torch.float32) for key, value in halves.items()})
    return Case(network.eval(), load_test_set("digits", n_examples=n, data_dir=None))


def train(name: str) -> nn.Module:
    """Return a network trained on adversarial digits."""
    torch.manual_seed(0)
    network, data, linf = OTHERS[name](), training_set("digits", "train"), NORMS["Linf"]
    batches = -(-len(data) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * batches)
    for epoch in range(EPOCHS):
        eps = EPS * min(1.0, (epoch + 1) / (EPOCHS / 2))
        for where in torch.randperm(len(data)).split(BATCH):
            clean, labels = data.images[where], data.labels[where]
            x = (clean + eps * (2 * torch.rand_like(clean) - 1)).clamp(0, 1)

            def loss(points: Tensor, labels: Tensor = labels) -> Tensor:
                return functional.cross_entropy(network(points), labels)

            network.eval()
            for _ in range(STEPS):
                x = ascend(loss, x, clean, linf, eps=eps, step_size=STEP)
            network.train()
            optimizer.zero_grad()
            loss(x).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def write() -> None:
    """Train the networks and write their weights, in half precision."""
    WEIGHTS.mkdir(exist_ok=True)
    test = load_test_set("digits", n_examples=None, data_dir=None)
    for name in OTHERS:
        network = train(name)
        halves = {key: value.half() if value.is_floating_point() else value
                  for key, value in network.state_dict().items()}  # fmt: skip
        safetensors.torch.save_file(halves, WEIGHTS / f"{name}.safetensors")
        with torch.no_grad():
            right = (network(test.images).argmax(1) == test.labels).float().mean()
        n = sum(one.numel() for one in network.parameters())
        print(f"{name}: {n} parameters, {100 * right:.1f} % of the clean test digits", flush=True)


if __name__ == "__main__":
    typer.run(write)
