"""What stands around every attack: the network left as found, and every success confirmed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.models.backbones.resnet import faster_equal
from clbench.models.fast_passes import fast_passes
from clbench.models.validate import same_answers
from clbench.runtime.layout import row_major
from clbench.schema.errors import ClbenchError, ModelError, describe

WORTH_A_GRAPH = 20_000
"""Passes of an image from which on a network is written down as a graph, which takes a second."""


class AttackedModel(nn.Module):
    """A network as attacks see it: logits in float32, passes counted, contiguous gradients.

    Attack packages reshape the gradient at the images with ``view``, which fails for the strides
    that networks in channels_last format give. A network of clbench's own is attacked through its
    faster equal; in ``precision`` bfloat16 any runs under autocast. One that cuts the gradient off
    has a gradient of zero here, instead of an error; entries that are no numbers are zero, too, as
    a single one would spoil the direction of a step. Verdicts are always the plain network's.
    ``forward_passes`` and ``backward_passes`` count images, ``spoiled`` those with such entries;
    ``on_pass`` is called at every forward pass. ``repeats_itself`` says whether an image has the
    same answer again, in any place beside any others; False until ``ask_again`` has found out.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network = network
        self.attacked = faster_equal(network)
        self.precision = precision
        self.factor: float | Float[Tensor, " n"] = 1.0
        self.counted: Bool[Tensor, " n"] | None = None
        self.forward_passes = 0
        self.backward_passes = 0
        self.spoiled = 0
        self.repeats_itself = False
        self.on_pass: Callable[[], None] = lambda: None
        self.training = False

    def train(self, mode: bool = True) -> "AttackedModel":
        """Do nothing: torchattacks would put the network back into training mode."""
        return self

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits, times the factor of the moment."""
        return self.scaled(self.answer(images)).float()

    def answer(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits as the network gives them, in its own precision."""
        self.forward_passes += self.count(images)
        self.on_pass()
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        if wants_gradient:
            images = _Gate.apply(images, self)
        if images.is_contiguous():
            images = row_major(images)
        logits = self._run(images)
        if wants_gradient and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        return logits

    def _run(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Run the network as attacks see it.

        Raises:
            ModelError: It fails, although it took other images before.
        """
        try:
            with self.autocast(images):
                logits: Tensor = self.attacked(images)
        except (ClbenchError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ModelError(
                f"the model fails on {len(images)} images after it took others: {describe(error)}; "
                "a smaller --batch-size may help"
            ) from error
        return logits.clone() if logits.is_inference() else logits

    def autocast(self, images: Float[Tensor, "n c h w"]) -> torch.autocast:
        """Return the arithmetic of the passes."""
        low = self.precision == "bfloat16"
        return torch.autocast(images.device.type, torch.bfloat16, low)

    def scaled(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Return answers times the factor of the moment.

        That is in double precision, as it may take what is too small for a float to what is not.
        """
        if isinstance(self.factor, Tensor):
            return logits.double() * self.factor[:, None]
        return logits if self.factor == 1 else logits.double() * self.factor

    def count(self, images: Float[Tensor, "n c h w"]) -> int:
        """Return how many of the images count; see ``counting``."""
        return len(images) if self.counted is None else int(self.counted.sum())

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

    @contextmanager
    def times(self, factor: float | Float[Tensor, " n"]) -> Iterator[None]:
        """Show attacks every logit times a factor above 0, for a while; classes stay the same.

        A tensor holds the factor of each image.
        """
        before, self.factor = self.factor, factor
        try:
            yield
        finally:
            self.factor = before

    @contextmanager
    def counting(self, counted: Bool[Tensor, " n"] | None) -> Iterator[None]:
        """Count only some images of each batch, for a while; the others fill a tile."""
        before, self.counted = self.counted, counted
        try:
            yield
        finally:
            self.counted = before

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the plain network's logits, in its own precision."""
        with torch.no_grad(), self.plain():
            return self.answer(images)

    def speed_up(self, images: Float[Tensor, "n c h w"], passes: float) -> None:
        """Let attacks see a faster equal of the network where there is one.

        It is made for as many images as these, and compared with the network on them; that is not
        counted. A graph is written where so many ``passes`` of an image are worth it, and not for
        bfloat16, in which graphs calculate otherwise.
        """
        before = self.forward_passes
        if self.precision == "float32" and passes >= WORTH_A_GRAPH:
            self.attacked = fast_passes(self.network, images)
        elif self.attacked is not self.network:
            with torch.no_grad():
                if not same_answers(self.attacked(images), self.logits(images)):
                    self.attacked = self.network
        self.forward_passes = before

    def ask_again(self, images: Float[Tensor, "n c h w"]) -> None:
        """Find out whether the network as attacks see it repeats itself; that is not counted."""
        before = self.forward_passes
        with torch.no_grad():
            first, again = self(images), self(images.flip(0)).flip(0)
        self.repeats_itself = torch.equal(first, again)
        self.forward_passes = before

    def classify(self, images: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
        """Return the classes that the plain network gives in float32; -1 where logits are NaN."""
        return classes_of(self.logits(images))


class _Gate(torch.autograd.Function):
    """The identity, through which every gradient at the images passes."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, model: AttackedModel) -> Tensor:  # noqa: ANN401 - untyped in torch
        ctx.model = model
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - untyped in torch
        (gradient,) = gradients
        ctx.model.backward_passes += ctx.model.count(gradient)
        finite = gradient.isfinite()
        if not finite.all():
            spoiled = (~finite).flatten(1).any(dim=1).cpu()
            counted = ctx.model.counted
            ctx.model.spoiled += int((spoiled if counted is None else spoiled & counted).sum())
            gradient = gradient.where(finite, 0)
        return row_major(gradient), None


def classes_of(logits: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Return the class of the highest logit, or -1 where a logit is NaN."""
    return logits.argmax(dim=1).where(~logits.isnan().any(dim=1), -1)
