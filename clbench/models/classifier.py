"""The last layer of a network: found, made anew, or put behind one that has none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.schema.errors import ModelError, describe

_MAPS = 4
"""Axes of what a convolution returns."""


_SUMS_TO = 1e-3
"""Of rows that are probabilities, by how much a sum may miss 1, in half precision too."""


class Features(NamedTuple):
    """What a network returns of its images, and the layer that makes logits of them.

    ``layer`` is its name, "" where the network returns features as they are; ``width`` is how many
    features there are.
    """

    layer: str
    width: int


class Behind(nn.Module):
    """An encoder with a linear classifier behind it."""

    def __init__(self, encoder: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, k] of images [n, c, h, w]."""
        logits: Tensor = self.fc(self.encoder(images).flatten(1))
        return logits


class Headed(nn.Module):
    """A network of any make whose last layer is known by its name, under timm's names for that."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network = network
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, k] of images [n, c, h, w]."""
        logits: Tensor = self.network(images)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.network.get_submodule(self.layer)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new last layer of so many outputs in its place.

        Its weights are drawn from torch's global generator.
        """
        old = self.get_classifier()
        like = next(old.parameters())
        made = _like(old, num_classes).to(like.device, like.dtype)
        parent, _, name = self.layer.rpartition(".")
        setattr(self.network.get_submodule(parent), name, made)


def _like(old: nn.Module, n_classes: int) -> nn.Module:
    """Return a new layer for the same inputs."""
    if isinstance(old, nn.Conv2d):
        return nn.Conv2d(old.in_channels, n_classes, 1, bias=old.bias is not None)
    assert isinstance(old, nn.Linear), "last layers are linear"
    return nn.Linear(old.in_features, n_classes, bias=old.bias is not None)


def find_features(network: nn.Module, images: Float[Tensor, "n c h w"]) -> Features:
    """Return where the features of a network are, told by asking it with a few images.

    What a linear layer returns last, and the network as it is, are logits: what enters that layer
    are the features. Any other network returns its features itself.

    Raises:
        ModelError: It fails on these images, or returns something else than finite rows.
    """
    with _noting(network) as noted:
        try:
            with torch.no_grad():
                answer = network(images)
        except Exception as error:
            raise ModelError(
                f"the encoder fails on images {list(images.shape)}: {describe(error)}; give images "
                "of its own kind"
            ) from error
    _check(answer, len(images))
    rows = answer.flatten(1)
    same = [
        (name, module)
        for name, (module, output) in noted.items()
        if output.shape == answer.shape or output.flatten(1).shape == rows.shape
        if torch.equal(output.flatten(1), rows)
    ]
    if not same:
        return Features("", rows.shape[1])
    name, module = same[-1]
    inputs = module.in_channels if isinstance(module, nn.Conv2d) else module.in_features
    assert isinstance(inputs, int), "torch's layers tell"
    return Features(name, inputs)


@contextmanager
def _noting(network: nn.Module) -> Iterator[dict[str, tuple[nn.Module, Tensor]]]:
    """Note what linear layers return, the last call of each, in the order of these calls."""
    noted: dict[str, tuple[nn.Module, Tensor]] = {}

    def note(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor):
            noted.pop(name, None)
            noted[name] = (module, output.detach().clone())

    handles = [
        module.register_forward_hook(
            lambda module, _inputs, output, name=name: note(name, module, output)
        )
        for name, module in network.named_modules()
        if name and _is_linear(module)
    ]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def _is_linear(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return set(module.kernel_size) == {1} and module.groups == 1
    return isinstance(module, nn.Linear)


def _check(answer: object, n: int) -> None:
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        kind = answer.dtype if isinstance(answer, Tensor) else type(answer).__name__
        raise ModelError(
            f"the encoder must return one tensor of features, got {kind}; wrap it into a network "
            "that does, and give that by FILE.py:FACTORY"
        )
    shape = list(answer.shape)
    pooled = answer.ndim == _MAPS and set(shape[2:]) == {1}
    if shape[:1] != [n] or not (answer.ndim == 2 or pooled) or shape[1] < 2:  # noqa: PLR2004
        raise ModelError(
            f"the encoder must return a row of features for each of {n} images, got {shape}; pool "
            "and flatten them, and give the network by FILE.py:FACTORY"
        )
    if _are_probabilities(answer.flatten(1).double()):
        raise ModelError(
            "the encoder returns probabilities of classes, not features; give a network without "
            "its softmax by FILE.py:FACTORY"
        )
    if not bool(answer.isfinite().all()):
        raise ModelError(
            "the encoder returns NaN or infinite features; check its weights and its normalisation"
        )


def _are_probabilities(rows: Float[Tensor, "n d"]) -> bool:
    """Say whether rows are probabilities, or logarithms of some."""
    ones = torch.ones(len(rows), dtype=rows.dtype)
    either = (rows if bool((rows >= 0).all()) else rows.exp()).sum(dim=1).cpu()
    return bool(torch.allclose(either, ones, rtol=0, atol=_SUMS_TO))
