"""Small networks with images, for which it is known, or can be seen, what an attack does."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.attacks.norms import NORMS
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

SHAPE = (3, 8, 8)
N_CLASSES = 4
"""The fewest that a targeted attack needs."""

ORDER: dict[NormName, float] = {"Linf": math.inf, "L2": 2.0, "L1": 1.0}
"""The p of every norm; written here again, so that no law relies on what it judges."""

_SPREAD, _SIGNAL = 1.0, 1.6
"""How far images of d pixels are from grey, by chance and towards their class, times the root of d.

So little that no ball leaves [0, 1].
"""

_EDGE = 0.03
"""So near to eps, as a share of it, lies no boundary: rounding decides nothing."""

_PIXEL_TOLERANCE = 1e-6

_STEP = 0.02
"""The ball of a curved problem reaches as far as an image of which every pixel moves so much."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Images to be attacked; ``index`` are their places in a data set of which they are a part.

    The network is in eval mode and its parameters want no gradients, as in every evaluation.
    """

    network: nn.Module
    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    threat_model: ThreatModel
    n_classes: int

    @property
    def examples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and index."""
        return self.images, self.labels, self.index

    def distances(self, images: Float[Tensor, "n c h w"]) -> Float64[Tensor, " n"]:
        """Return how far images are from the clean ones, in the norm of the threat model."""
        offset = (images.double() - self.images.double()).flatten(1)
        lengths: Tensor = torch.linalg.vector_norm(offset, ORDER[self.threat_model.norm], dim=1)
        return lengths

    def in_ball(self, images: Float[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        """Say which images are at most eps away, but for rounding."""
        tolerance = NORMS[self.threat_model.norm].tolerance
        return self.distances(images) <= float(self.threat_model.eps) + tolerance

    def in_range(self, images: Float[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        """Say which images are in [0, 1], but for rounding."""
        return ((images - 0.5).abs().flatten(1) <= 0.5 + _PIXEL_TOLERANCE).all(dim=1)


@dataclass(frozen=True, eq=False)
class LinearProblem(Problem):
    """A linear network, for which it is known exactly which images can be broken.

    Away from the bounds of [0, 1], the distance from an image to the boundary between its class and
    another is the difference of the two logits over the dual norm of the slopes' difference.
    """

    @cached_property
    def breakable(self) -> Bool[Tensor, " n"]:
        """Which images some image of the ball around them is misclassified for."""
        return self.boundaries < float(self.threat_model.eps)

    @cached_property
    def boundaries(self) -> Float64[Tensor, " n"]:
        """How far it is from every image to the nearest other class."""
        return _boundaries(self.network, self.images, self.labels, self.threat_model.norm)

    def misclassified(self, images: Float[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        """Say, in float64, which images are finite and not of their class."""
        wrong = _logits(self.network, images).argmax(dim=1) != self.labels
        return wrong & images.isfinite().flatten(1).all(dim=1)


def linear_problem(
    norm: NormName,
    *,
    shape: tuple[int, int, int] = SHAPE,
    n_classes: int = N_CLASSES,
    n: int = 32,
    seed: int = 0,
) -> LinearProblem:
    """Return a linear problem in which about half of the images can be broken.

    Every image is labelled as the network classifies it.
    """
    generator = torch.Generator().manual_seed(seed)
    size = math.prod(shape)
    linear = nn.Linear(size, n_classes)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(n_classes, size, generator=generator))
        linear.bias.copy_(-linear.weight.sum(dim=1) / 2)  # grey is on the border of all classes
    network = _as_evaluated(nn.Sequential(nn.Flatten(), linear))
    noise = 2 * torch.rand(n, size, generator=generator) - 1
    towards = functional.normalize(linear.weight.detach())[torch.arange(n) % n_classes]
    signal = 2 * torch.rand(n, 1, generator=generator) * towards
    images = (0.5 + (_SPREAD * noise + _SIGNAL * signal) / math.sqrt(size)).view(n, *shape)
    labels = _logits(network, images).argmax(dim=1)
    far = _boundaries(network, images, labels, norm)
    eps = Fraction(float(far.median())).limit_denominator(10_000)
    kept = (far / float(eps) - 1).abs() > _EDGE
    threat_model, index = ThreatModel(norm, eps), _places(n)
    return LinearProblem(network, images[kept], labels[kept], index[kept], threat_model, n_classes)


def curved_problem(
    norm: NormName,
    *,
    shape: tuple[int, int, int] = SHAPE,
    n_classes: int = N_CLASSES,
    n: int = 12,
    seed: int = 0,
) -> Problem:
    """Return a problem whose network is curved and whose images reach the bounds of [0, 1].

    Nothing is known of it exactly, but here every option of an attack has something to change.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(
        nn.Conv2d(shape[0], 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Tanh(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * shape[1] * shape[2], n_classes),
    )
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    network = _as_evaluated(layers)
    images = (1.5 * torch.rand(n, *shape, generator=generator) - 0.25).clamp(0, 1)
    network.get_parameter("5.bias").sub_(network(images).mean(dim=0))  # no class wins everywhere
    radius = float(torch.linalg.vector_norm(torch.full((math.prod(shape),), _STEP), ORDER[norm]))
    threat_model = ThreatModel(norm, Fraction(radius).limit_denominator(10_000))
    labels = network(images).argmax(dim=1)
    return Problem(network, images, labels, _places(n), threat_model, n_classes)


def _as_evaluated(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(requires_grad=False)


def _places(n: int) -> Int[Tensor, " n"]:
    """Return places that are neither those of the batch nor at equal steps."""
    return torch.arange(n).square() + 5


def _logits(network: nn.Module, images: Float[Tensor, "n c h w"]) -> Float64[Tensor, "n k"]:
    linear = network.get_submodule("1")
    slopes, offsets = linear.get_parameter("weight"), linear.get_parameter("bias")
    logits: Tensor = images.double().flatten(1) @ slopes.double().T + offsets.double()
    return logits


def _boundaries(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    norm: NormName,
) -> Float64[Tensor, " n"]:
    slopes = network.get_submodule("1").get_parameter("weight").double()
    order = 1 / (1 - 1 / ORDER[norm]) if ORDER[norm] > 1 else math.inf
    lengths = torch.linalg.vector_norm(slopes[labels][:, None] - slopes[None], order, dim=2)
    logits = _logits(network, images)
    margins = logits.gather(1, labels[:, None]) - logits
    itself = functional.one_hot(labels, logits.shape[1]).bool()
    distances: Tensor = (margins / lengths).masked_fill(itself, math.inf).amin(dim=1)
    return distances
