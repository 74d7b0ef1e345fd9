"""Is this network an image classifier for this data? Asked before anything long begins."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from clbench.models.calling import Adapted, Call, find_call
from clbench.models.gradient_check import is_own_gradient
from clbench.models.output import ITSELF, find_output, read_output
from clbench.runtime.as_found import defaults_as_found, left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.errors import ClbenchError, ModelError, describe
from clbench.schema.flags import (
    BATCH_DEPENDENT,
    GRADIENT_MODE,
    NO_DERIVATIVE,
    RANDOMIZED,
    WRONG_GRADIENT,
    RaisedFlag,
    raised,
)

_TOLERANCE = 1e-4
"""Logits that differ by less than this share of their spread differ by rounding, not chance."""

_ROUNDINGS = 20
"""Logits that differ by less than so many roundings of their size differ by rounding, too."""

_VERY = 1e9
"""So many times what rounding explains, or more, is told as that."""

_FEWEST_FEATURES = 1

_DEEPEST = 50.0
"""A logit so far below the highest has a probability below 1e-21."""


class Validated(NamedTuple):
    """A network that can be called with any number of images, and the flags that it raises.

    ``output`` is the entry of its answer that is its logits, and ``log_probabilities`` says whether
    these are such.
    """

    network: nn.Module
    n_classes: int
    flags: tuple[RaisedFlag, ...]
    output: str = ITSELF
    log_probabilities: bool = False

    @property
    def flag_names(self) -> tuple[str, ...]:
        """What its flags are called."""
        return tuple(flag.name for flag in self.flags)


def validate_network(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    n_classes: int,
    *,
    or_more: bool = False,
    output: str = ITSELF,
) -> Validated:
    """Ask ``network`` about a few images: alone, together, reversed, twice, and for a gradient.

    Network and images are on the same device and stay as they are, as do torch's random numbers.
    A network that needs more than images, see ``Call``, is returned behind what it needs.

    Args:
        network: Takes images in [0, 1].
        images: A few of those that it is to be run on.
        n_classes: How many there are.
        or_more: Whether logits of further classes are allowed, for images whose labels need not
            show them all.
        output: Which entry of the network's answer is the logits, by its path; where nothing is
            said, the one that ``find_output`` finds.

    Raises:
        ModelError: The network fails on such images, or does not return finite logits [n, classes].
    """

    def output_of(answer: object) -> str:
        return find_output(answer, output, n_classes, or_more=or_more)

    with exact_arithmetic(), left_as_found(network, state=True), torch.no_grad():
        call = _call(network, images, output_of)
        drawing = replace(call, touches_random_numbers=False)
        twice = [_logits(Adapted(network, drawing), images) for _ in range(2)]
        _check(twice[0], len(images), n_classes, or_more=or_more)
        if times := times_rounding(twice):
            call, flags = drawing, [raised(RANDOMIZED, times)]  # it needs fresh numbers
        else:
            flags = _flags(Adapted(network, call), images, twice[0])
    flags += [raised(NO_DERIVATIVE)] * (not call.differentiable)
    adapted = network if call.is_plain else Adapted(network, call)
    return Validated(
        network=adapted,
        n_classes=twice[0].shape[1],
        flags=tuple(flags),
        output=call.output,
        log_probabilities=_are_log_probabilities(twice[0]),
    )


def with_ordinary_tensors(network: nn.Module) -> nn.Module:
    """Return a network whose tensors can be moved, run and differentiated: itself, or a copy.

    Tensors that were made in inference mode cannot be differentiated, but copies of them can.

    Raises:
        ModelError: Some have no shape or no values yet.
    """
    tensors = dict((*network.named_parameters(), *network.named_buffers()))
    for name, one in tensors.items():
        if is_lazy(one):
            raise ModelError(
                f"the model has lazy layers, '{name}' has no shape yet; run it once on an image "
                "before it is returned, or give its weights with --weights"
            )
        if one.is_meta:
            raise ModelError(
                f"the model has no values for '{name}', which is on device meta; fill it before "
                "it is returned"
            )
    return deepcopy(network) if any(one.is_inference() for one in tensors.values()) else network


def adapted(
    network: nn.Module, images: Float[Tensor, "n c h w"], output: str | int | None = None
) -> nn.Module:
    """Return a network, whatever its classes, behind what it needs to be called.

    Raises:
        BadValueError: The output is neither a name nor an index.
        ModelError: It takes such images in no way, or several entries of its answer may be logits.
    """
    path = read_output(output)

    def output_of(answer: object) -> str:
        return find_output(answer, path, _FEWEST_FEATURES, or_more=True)

    ordinary = with_ordinary_tensors(network)
    with left_as_found(ordinary, state=True), torch.no_grad():
        call = _call(ordinary, images, output_of)
    return ordinary if call.is_plain else Adapted(ordinary, call)


def same_answers(first: Float[Tensor, "n k"], second: Float[Tensor, "n k"]) -> bool:
    """Say whether two networks, or one before and after, answer the same but for rounding.

    What is no finite number in one is the same in the other.
    """
    if first.shape != second.shape:
        return False
    kinds = (Tensor.isnan, Tensor.isposinf, Tensor.isneginf)
    alike = all(torch.equal(kind(first), kind(second)) for kind in kinds)
    return alike and not times_rounding([first, second])


def times_rounding(answers: Sequence[Float[Tensor, "n k"]]) -> int:
    """Return how many times what rounding explains answers to the same images differ, at most.

    It is 0 where rounding explains all of it, and a whole number above 1 otherwise. Logits count
    from the highest down to ``_DEEPEST``: classes that are masked with large negative numbers
    decide nothing, and would hide what the others do.
    """
    rounding = max(torch.finfo(answer.dtype).eps for answer in answers)
    stack = torch.stack([answer.double() for answer in answers])
    highest = stack.amax(dim=2, keepdim=True)
    below = (stack - highest).clamp_min(-_DEEPEST)
    spread = (below - below.mean(dim=2, keepdim=True)).norm(dim=2).amax(dim=0)
    size = spread + highest.abs().amax(dim=0)[:, 0] * stack.shape[2] ** 0.5
    relative = max(_TOLERANCE, _ROUNDINGS * rounding)
    allowed = relative * spread + _ROUNDINGS * rounding * size
    differences = (below[:, None] - below[None]).norm(dim=-1).nan_to_num(0)
    # no difference is none, also where none is allowed
    times = float((differences / allowed.nan_to_num(0)).nan_to_num(0, _VERY, _VERY).max())
    return math.ceil(min(times, _VERY)) if times > 1 else 0


def _are_log_probabilities(logits: Float[Tensor, "n k"]) -> bool:
    """Say whether outputs are logarithms of probabilities, which add up to 1 for each image.

    They differ from logits by a shift, which no verdict sees.
    """
    rounding = _ROUNDINGS * torch.finfo(logits.dtype).eps
    sums = logits.double().logsumexp(dim=1).abs()
    return logits.shape[1] > 1 and bool((sums <= max(_TOLERANCE, rounding)).all())


def _call(network: nn.Module, images: Tensor, output_of: Callable[[object], str]) -> Call:
    try:
        with defaults_as_found():
            return find_call(network, images, output_of)
    except ClbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model fails on images {list(images.shape)}: {describe(error)}; "
            "it must take such images, in [0, 1]"
        ) from error


def _flags(network: Adapted, images: Tensor, together: Tensor) -> list[RaisedFlag]:
    """Return what a network raises whose answers are the same when it is asked the same twice."""
    some = sorted({0, len(images) // 2, len(images) - 1})
    alone = torch.cat([_logits(network, images[k : k + 1]) for k in some])
    _check(alone, len(some), together.shape[1], or_more=False)
    reversed_order = _logits(network, images.flip(0)).flip(0)
    with torch.enable_grad():
        with_gradient = _logits(network, images.clone().requires_grad_().view_as(images)).detach()
    differences = {
        BATCH_DEPENDENT: max(
            times_rounding([alone, together[some]]), times_rounding([reversed_order, together])
        ),
        GRADIENT_MODE: times_rounding([with_gradient, together]),
    }
    flags = [raised(name, times) for name, times in differences.items() if times]
    asked = network.call.differentiable and together.shape[1] > 1
    return flags + [raised(WRONG_GRADIENT)] * (asked and not is_own_gradient(network, images))


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    try:
        with defaults_as_found():
            logits = network(images)
    except ClbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model fails on images {list(images.shape)} after it took others: "
            f"{describe(error)}; it must take any number of images, in [0, 1]"
        ) from error
    if not isinstance(logits, Tensor):
        raise ModelError(f"the model must return one tensor of logits, got {type(logits).__name__}")
    if not logits.is_floating_point():
        raise ModelError(f"the model must return floating-point logits, got {logits.dtype}")
    return logits


def _check(logits: Tensor, n: int, n_classes: int, *, or_more: bool) -> None:
    wanted, got = [n, n_classes], list(logits.shape)
    if got != wanted and not (or_more and got[:-1] == wanted[:-1] and got > wanted):
        features = len(got) == len(wanted) and got[0] == n
        raise ModelError(
            f"the model must return logits {wanted}{' or more' if or_more else ''}, got {got}"
            + (
                "; where these are features, clbench head makes a classifier of it"
                if features
                else ""
            )
        )
    if broken := int((~logits.isfinite()).any(dim=1).sum()):
        masked = bool((logits.isfinite() | logits.isneginf()).all())
        raise ModelError(
            f"the model returns NaN or infinite logits for {broken} of {n} images; "
            + (
                "mask classes with a large negative number such as -1000, not with -inf"
                if masked
                else "check its weights and its normalisation"
            )
        )
