"""What stands around every attack: the network left as found, and every success confirmed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.attacks.base import AttackStep, step_seed
from clbench.threat import ThreatModel

Precision = Literal["float32", "bfloat16"]
"""In what attacks may run; verdicts are always in float32."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

TOLERANCE = {"Linf": 1e-6, "L2": 1e-5}
"""How far outside of the ball rounding may put an image, in units of the pixel range."""

_PIXEL_TOLERANCE = 1e-6


class Victim(nn.Module):
    """A network as attacks see it: logits in float32, passes counted, contiguous gradients.

    Attack packages reshape the gradient at the images with ``view``, which fails for the strides
    that networks in channels_last format give. A network that offers a faster equal of itself,
    ``folded()``, is attacked through that; in ``precision`` bfloat16 it runs under autocast. One
    that cuts the gradient off has a gradient of zero here, instead of an error. Verdicts are always
    the plain network's. ``forward_passes`` and ``backward_passes`` count images.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network = network
        self.attacked = _folded(network)
        self.precision = precision
        self.forward_passes = 0
        self.backward_passes = 0
        self.training = False

    def train(self, mode: bool = True) -> "Victim":
        """Do nothing: torchattacks would put the network back into training mode."""
        return self

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        self.forward_passes += len(images)
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        if wants_gradient:
            images = _Gate.apply(images, self)
        with torch.autocast(images.device.type, torch.bfloat16, self.precision == "bfloat16"):
            logits: Tensor = self.attacked(images)
        if wants_gradient and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        return logits.float()

    @property
    def is_plain(self) -> bool:
        """Whether attacks see the network that gives the verdicts."""
        return self.attacked is self.network and self.precision == "float32"

    @contextmanager
    def plain(self) -> Iterator[None]:
        """Run the network itself, in float32, for a while."""
        before = self.attacked, self.precision
        self.attacked, self.precision = self.network, "float32"
        try:
            yield
        finally:
            self.attacked, self.precision = before

    def classify(self, images: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
        """Return the classes that the plain network gives in float32; -1 where logits are NaN."""
        with torch.no_grad(), self.plain():
            return classes_of(self(images))


def _folded(network: nn.Module) -> nn.Module:
    """Return the faster equal of a network in eval mode, or the network where it has none."""
    offer = getattr(network, "folded", None)
    return offer() if callable(offer) and not network.training else network


class _Gate(torch.autograd.Function):
    """The identity, through which every gradient at the images passes."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, victim: Victim) -> Tensor:  # noqa: ANN401 - untyped in torch
        ctx.victim = victim
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - untyped in torch
        (gradient,) = gradients
        ctx.victim.backward_passes += len(gradient)
        return gradient.contiguous(), None


def classes_of(logits: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Return the class of the highest logit, or -1 where a logit is NaN."""
    return logits.argmax(dim=1).where(~logits.isnan().any(dim=1), -1)


@dataclass(frozen=True)
class Batch:
    """Examples under attack; ``index`` is their place in the data set, on the CPU."""

    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]


@dataclass(frozen=True)
class Attempt:
    """What one attack did to one batch.

    ``adversarial`` is what the attack returned, or the clean image where that was invalid;
    ``broken`` says where it is valid and the plain network is wrong about it.
    """

    adversarial: Float[Tensor, "n c h w"]
    predicted: Int[Tensor, " n"]
    broken: Bool[Tensor, " n"]
    flags: frozenset[str]


def attempt(
    step: AttackStep, victim: Victim, batch: Batch, threat_model: ThreatModel, seed: int
) -> Attempt:
    """Attack one batch, check what comes back, and ask the plain network in float32.

    Images that are not finite, outside of the ball or outside of the pixel range count as not
    broken and raise a flag (leaving the ball does not for attacks that are not ``bounded``).
    An empty ball is not attacked. Global random state is afterwards as it was.
    """
    images = batch.images
    if threat_model.eps == 0:
        returned = images
    else:
        with randomness(step_seed(seed, step.name, batch.index)):
            returned = _run(step, victim, batch, threat_model, seed)
    finite = returned.isfinite().flatten(1).all(dim=1)
    valid = finite & within(returned, images, threat_model)
    adversarial = returned.where(valid[:, None, None, None], images)
    predicted = victim.classify(adversarial)
    found = {
        "nan_adversarial": not finite.all(),
        "out_of_bounds": step.bounded and bool((finite & ~valid).any()),
        "nan_logits": bool((predicted < 0).any()),
    }
    flags = frozenset(flag for flag, raised in found.items() if raised)
    return Attempt(adversarial, predicted, valid & (predicted != batch.labels), flags)


def _run(
    step: AttackStep, victim: Victim, batch: Batch, threat_model: ThreatModel, seed: int
) -> Float[Tensor, "n c h w"]:
    """Return what the attack gives.

    Attack packages pass over images that they see misclassified. Where low precision or rounding
    alone makes it seem so, the attack runs on the plain network.
    """

    def attack(where: Tensor) -> Tensor:
        images, labels, index = batch.images[where], batch.labels[where], batch.index[where.cpu()]
        found = step.attack(
            victim, images.contiguous(), labels, threat_model, seed=seed, index=index
        )
        return found.detach().to(images)

    seen = torch.ones_like(batch.labels, dtype=torch.bool)
    if not victim.is_plain:
        with torch.no_grad():
            seen = classes_of(victim(batch.images)) == batch.labels
    returned = batch.images.clone()
    if seen.any():
        returned[seen] = attack(seen)
    if not seen.all():
        with victim.plain():
            returned[~seen] = attack(~seen)
    return returned


def within(
    images: Float[Tensor, "n c h w"], centres: Float[Tensor, "n c h w"], threat_model: ThreatModel
) -> Bool[Tensor, " n"]:
    """Say which images lie in the ball around their centres and in the pixel range.

    A perturbation may exceed eps by ``TOLERANCE``, which is what rounding to float32 does to it.
    """
    offset = (images.double() - centres.double()).flatten(1)
    lengths = offset.abs().amax(dim=1) if threat_model.norm == "Linf" else offset.norm(dim=1)
    pixels = images.flatten(1)
    in_range = (pixels.amin(dim=1) >= -_PIXEL_TOLERANCE) & (
        pixels.amax(dim=1) <= 1 + _PIXEL_TOLERANCE
    )
    return (lengths <= float(threat_model.eps) + TOLERANCE[threat_model.norm]) & in_range


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into eval mode without parameter gradients; afterwards restore both."""
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Seed torch, numpy and Python's generator for a while; afterwards they go on as before."""
    devices = range(torch.cuda.device_count())
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - kept for them
    with torch.random.fork_rng(devices=devices):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - attack packages draw from it
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002 - given back to them
            random.setstate(python_state)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Make CUDA calculate in float32 where that is asked for, and the same every time.

    TF32 shortens float32 to ten bits, and the fastest algorithm is found by trial.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = False
        cudnn.deterministic = True
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
