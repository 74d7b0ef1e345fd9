"""Is this network an image classifier for this data? Asked before anything long begins."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clbench.runtime.as_found import left_as_found
from clbench.schema.errors import ClbenchError, ModelError, describe

RANDOMIZED = "randomized"
"""The flag of a network that answers differently when asked twice."""

_TOLERANCE = 1e-4
"""Logits that differ by less than this share of their length differ by rounding, not chance."""

_SMALLEST = 1e-10


def validate_network(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    n_classes: int,
    *,
    or_more: bool = False,
) -> tuple[str, ...]:
    """Run ``network`` twice on a few images and return the flags that this raises.

    Network and images are on the same device. The network's mode and state and torch's random
    numbers are afterwards as they were. ``or_more`` allows logits of further classes, for images
    whose labels need not show them all.

    Raises:
        ModelError: The network fails on such images, or does not return finite logits [n, classes].
    """
    with left_as_found(network, state=True), torch.no_grad():
        first = _logits(network, images)
        second = _logits(network, images)
    _check(first, len(images), n_classes, or_more=or_more)
    return (RANDOMIZED,) if is_randomized([first, second]) else ()


def same_answers(first: Float[Tensor, "n k"], second: Float[Tensor, "n k"]) -> bool:
    """Say whether two networks, or one before and after, answer the same but for rounding."""
    return first.shape == second.shape and not is_randomized([first, second])


def is_randomized(answers: Sequence[Float[Tensor, "n k"]]) -> bool:
    """Say whether answers to the same images differ by more than rounding."""
    unit = torch.stack([functional.normalize(answer, dim=1, eps=_SMALLEST) for answer in answers])
    return bool((unit[:, None] - unit[None]).norm(dim=-1).nan_to_num(0).max() > _TOLERANCE)


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    try:
        logits = network(images.clone())
    except ClbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model fails on images {list(images.shape)}: {describe(error)}; "
            "it must take such images, in [0, 1]"
        ) from error
    if not isinstance(logits, Tensor):
        raise ModelError(f"the model must return one tensor of logits, got {type(logits).__name__}")
    if not logits.is_floating_point():
        raise ModelError(f"the model must return floating-point logits, got {logits.dtype}")
    return logits


def _check(logits: Tensor, n: int, n_classes: int, *, or_more: bool) -> None:
    wanted, got = [n, n_classes], list(logits.shape)
    if got != wanted and not (or_more and got[:-1] == wanted[:-1] and got > wanted):
        raise ModelError(
            f"the model must return logits {wanted}{' or more' if or_more else ''}, got {got}"
        )
    if broken := int((~logits.isfinite()).any(dim=1).sum()):
        raise ModelError(
            f"the model returns NaN or infinite logits for {broken} of {n} images; "
            "check its weights and its normalisation"
        )
