"""How a network has to be called, where images alone will not do: found by asking it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.models.output import ITSELF, entry
from clbench.models.several_devices import WhereItIs
from clbench.runtime.as_found import defaults_as_found, process_defaults
from clbench.runtime.seeding import random_state, random_state_as_found, randomness
from clbench.schema.errors import ClbenchError

FIXED_SIZES = (1, 2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512)
"""Numbers of images that networks for batches of one fixed size are tried with."""

_MOST_PIXELS = 512 * 3 * 64 * 64
"""In a batch that is tried: a network that fails on any would take minutes to say so otherwise."""

_DTYPES = (torch.float64, torch.float16, torch.bfloat16)
"""What a network is tried with that cannot take images in the precision of its parameters."""

_SEED = 0x5EED0F
"""A seed that no network sets by itself."""


@dataclass(frozen=True)
class Call:
    """What a network needs besides images.

    Attributes:
        changes_input: It changes its images in place, and gets a copy.
        dtype: What the images are converted to.
        batch_size: The only number of images that it takes, 0 where it takes any; of fewer, the
            last one is repeated.
        drops_batch_axis: Its answer to a single image has one axis only.
        refuses_single: It fails on a single image, and gets it twice.
        touches_random_numbers: It draws or seeds, although its answers are not random; the random
            numbers of others are kept from it.
        changes_defaults: It changes what torch does by default, which is set back after it.
        differentiable: Whether gradients reach its images.
        output: Which entry of its answer is the logits, by its path; see ``entry``.
    """

    changes_input: bool = False
    dtype: torch.dtype = torch.float32
    batch_size: int = 0
    drops_batch_axis: bool = False
    refuses_single: bool = False
    touches_random_numbers: bool = False
    changes_defaults: bool = False
    differentiable: bool = True
    output: str = ITSELF

    @property
    def is_plain(self) -> bool:
        """Whether images alone will do."""
        return self == Call()


class Adapted(nn.Module):
    """A network behind what it needs to be called: takes any number of images in float32.

    It answers what the network does; see ``validate_network`` for what that has to be.
    """

    def __init__(self, network: nn.Module, call: Call) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, images: Float[Tensor, "n c h w"]) -> Any:  # noqa: ANN401 - the network's
        """Return the network's answers, one row for each image."""
        call = self.call
        if not call.differentiable:
            with torch.no_grad():
                return self._in_parts(images.detach().to(call.dtype, copy=True))
        if call.changes_input or images.dtype != call.dtype:
            images = images.to(call.dtype, copy=True)
        return self._in_parts(images)

    def _in_parts(self, images: Float[Tensor, "n c h w"]) -> Any:  # noqa: ANN401 - as above
        size = self.call.batch_size
        parts = torch.split(images, size) if size else (images,)
        answers = [self._padded(part, size) for part in parts]
        if len(answers) == 1 or not isinstance(answers[0], Tensor):
            return answers[0]
        return torch.cat(answers)

    def _padded(self, images: Float[Tensor, "n c h w"], size: int) -> Any:  # noqa: ANN401 - as above
        n = len(images)
        missing = size - n if size else int(self.call.refuses_single and n == 1)
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
        with ExitStack() as kept:
            if self.call.touches_random_numbers:
                kept.enter_context(random_state_as_found())
            if self.call.changes_defaults:
                kept.enter_context(defaults_as_found())
            answer = entry(self.network(images), self.call.output)
        if not isinstance(answer, Tensor):
            return answer  # for whoever asks which of its entries are the logits
        answer = answer.to(images.device)
        if self.call.drops_batch_axis and len(images) == 1:
            answer = answer[None]
        return answer[:n] if missing else answer


def bare(network: nn.Module) -> nn.Module:
    """Return the network behind what it needs to be called, or behind a compiler, uncompiled."""
    # what torch.compile makes is told by where it keeps the network: its class takes 2 s to import
    where = "network" if isinstance(network, Adapted | WhereItIs) else "_orig_mod"
    inside = network._modules.get(where)
    return network if inside is None else bare(inside)


def find_call(
    network: nn.Module, images: Float[Tensor, "n c h w"], output_of: Callable[[Any], str]
) -> Call:
    """Return how a network takes a few images, which stay as they are.

    Args:
        network: Takes images in some way.
        images: A few.
        output_of: Says which entry of its answer is the logits.

    Raises:
        Exception: Whatever the network raises, where it takes them in no way.
    """
    several = images if len(images) > 1 else images.repeat(2, 1, 1, 1)
    call = _taken(network, several)
    with defaults_as_found():
        answer = Adapted(network, replace(call, changes_input=True))(several)
    call = replace(call, output=output_of(answer))
    if not call.batch_size:
        call = _with_single(network, several, call)
    with randomness(_SEED), defaults_as_found():
        given, before, defaults = (
            several.to(call.dtype, copy=True),
            random_state(),
            process_defaults(),
        )
        Adapted(network, replace(call, changes_input=False))(given)
        call = replace(
            call,
            # an operation in place counts even where it leaves all values as they are
            changes_input=given._version > 0,
            touches_random_numbers=random_state() != before,
            changes_defaults=process_defaults() != defaults,
        )
    return replace(call, differentiable=_is_differentiable(Adapted(network, call), several))


def _taken(network: nn.Module, images: Float[Tensor, "n c h w"]) -> Call:
    """Return the first way of calling that does not fail.

    Raises:
        Exception: What the network raised at the first one, where all fail.
    """
    first: Exception | None = None
    for call in _ways(network, images[0].numel()):
        failure = _failure(network, images, call)
        if failure is None:
            return call
        first = first or failure
    assert first is not None, "there is a first way"
    raise first


def _ways(network: nn.Module, pixels: int) -> Iterator[Call]:
    """Yield the ways in which a network may take images of so many pixels, the likeliest first."""
    floats = {one.dtype for one in network.parameters() if one.is_floating_point()}
    own = floats.pop() if len(floats) == 1 else torch.float32
    yield Call(dtype=own)
    for dtype in _DTYPES:
        if dtype != own:
            yield Call(dtype=dtype)
    for size in FIXED_SIZES:
        if size * pixels <= _MOST_PIXELS:
            yield Call(dtype=own, batch_size=size)


def _with_single(network: nn.Module, images: Float[Tensor, "n c h w"], call: Call) -> Call:
    """Return how a network takes a single image too, given how it takes several."""
    try:
        with defaults_as_found():
            alone = Adapted(network, replace(call, changes_input=True))(images[:1])
    except Exception:
        one_more = torch.cat([images, images[:1]])
        if _failure(network, one_more, call) is None:
            return replace(call, refuses_single=True)
        return replace(call, batch_size=len(images))
    return replace(call, drops_batch_axis=isinstance(alone, Tensor) and alone.ndim == 1)


def _failure(network: nn.Module, images: Tensor, call: Call) -> Exception | None:
    try:
        with defaults_as_found():
            Adapted(network, replace(call, changes_input=True))(images)
    except (ClbenchError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        return error
    return None


def _is_differentiable(adapted: Adapted, images: Float[Tensor, "n c h w"]) -> bool:
    """Say whether gradients reach the images, be they zero."""
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        try:
            answer = adapted(leaf.view_as(leaf))
            if isinstance(answer, Tensor):
                torch.autograd.grad(answer.float().logsumexp(-1).sum(), leaf)
        except Exception:
            return False
    return True
