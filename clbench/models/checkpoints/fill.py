"""A network filled from a weights file, as strictly as torch does it, or left as it was."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from clbench.models.checkpoints.unwrap import EXTRA_STATE
from clbench.schema.errors import ClbenchError, WeightsError, describe

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_NEVER_USED = ("num_batches_tracked",)
"""Counters that decide nothing in eval mode, so that they may be of any type."""


class DoesNotFitError(WeightsError):
    """Weights of another network; ``distance`` counts the names and shapes that differ."""

    def __init__(self, message: str, distance: int) -> None:
        super().__init__(message)
        self.distance = distance


def fill(network: nn.Module, weights: Mapping[str, object], path: Path) -> None:
    """Copy ``weights`` into ``network``, whose own precision and device stay.

    What fits is for ``load_state_dict(strict=True)`` to say, with the hooks of the network's
    modules: older names are taken, counters of batch norms may be missing. Beyond that, one of
    several names of a shared tensor is enough, as ``safetensors.torch.save_model`` writes it, and
    what ``get_extra_state`` gives may be missing, as only pickles can hold it.

    Raises:
        DoesNotFitError: A name is missing or unknown, or a shape differs; nothing was changed.
        WeightsError: A tensor cannot be a weight of this network: integers in the place of floats,
            a sparse or quantised tensor; nothing was changed.
    """
    expected = network.state_dict(keep_vars=True)
    check_tensors(weights, expected, path)
    complete = _with_shared(weights, expected, path) | _extra_states(weights, expected)
    try:
        # a network that was made in inference mode can only be filled there
        made_so = any(one.is_inference() for one in _tensors(network))
        with torch.inference_mode(mode=made_so), _all_or_nothing(network):
            network.load_state_dict(complete)
    except ClbenchError:
        raise
    except Exception as error:
        # hooks and set_extra_state are the network's own code
        raise _does_not_fit(path, weights, expected, error) from error


def check_tensors(
    weights: Mapping[str, object], expected: Mapping[str, object], path: Path
) -> None:
    """Check that every tensor is what weights can be: torch would convert whatever it gets.

    Raises:
        WeightsError: One is not.
    """
    for key, value in weights.items():
        own = expected.get(key)
        if not isinstance(value, Tensor):
            continue
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            kind = "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
            kind = "quantised" if value.is_quantized else kind
            raise WeightsError(
                f"weights {path} have a {kind} tensor, {key!r}; save plain ones, of the network "
                "before it was converted"
            )
        if value.is_floating_point() and value.dtype not in _FLOATS:
            raise _wrong_type(path, key, value, "floats of 16, 32 or 64 bits")
        if not isinstance(own, Tensor) or key.rpartition(".")[2] in _NEVER_USED or is_lazy(own):
            continue
        kinds = (own.is_floating_point(), own.is_complex(), own.dtype == torch.bool)
        if kinds != (value.is_floating_point(), value.is_complex(), value.dtype == torch.bool):
            raise _wrong_type(path, key, value, str(own.dtype).removeprefix("torch."))


def _wrong_type(path: Path, key: str, value: Tensor, wanted: str) -> WeightsError:
    got = str(value.dtype).removeprefix("torch.")
    return WeightsError(
        f"weights {path} have {got} in {key!r}, the network needs {wanted}; "
        "give the weights from before they were quantised or converted"
    )


def _with_shared(
    weights: Mapping[str, object], expected: Mapping[str, object], path: Path
) -> dict[str, object]:
    """Return weights with every name of tensors that the network has under several.

    Raises:
        WeightsError: Two names of one tensor have different values.
    """
    complete = dict(weights)
    for names in _shared(expected):
        there = [name for name in names if isinstance(weights.get(name), Tensor)]
        first = weights[there[0]] if there else None
        for name in there[1:]:
            if not _equal(first, weights[name]):
                raise WeightsError(
                    f"weights {path} are of another network: {there[0]!r} and {name!r} differ, "
                    "the network has one tensor for both"
                )
        if there:
            complete |= {name: first for name in names if name not in complete}
    return complete


def _shared(expected: Mapping[str, object]) -> Iterator[list[str]]:
    by_tensor: dict[int, list[str]] = {}
    for name, value in expected.items():
        if isinstance(value, Tensor):
            by_tensor.setdefault(id(value), []).append(name)
    return (names for names in by_tensor.values() if len(names) > 1)


def _equal(one: object, other: object) -> bool:
    assert isinstance(one, Tensor), "only tensors are compared"
    assert isinstance(other, Tensor), "only tensors are compared"
    return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))


def _extra_states(
    weights: Mapping[str, object], expected: Mapping[str, object]
) -> dict[str, object]:
    """Return the network's own extra state, where the weights have none."""
    return {
        name: value
        for name, value in expected.items()
        if name.rpartition(".")[2] == EXTRA_STATE and name not in weights
    }


def _tensors(network: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers that have values already."""
    tensors = [*network.parameters(), *network.buffers()]
    return [one for one in tensors if not is_lazy(one)]


@contextmanager
def _all_or_nothing(network: nn.Module) -> Iterator[None]:
    """Set parameters and buffers back where the block fails: torch copies one after another."""
    before = [(one, one.detach().clone()) for one in _tensors(network)]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
        raise


def _does_not_fit(
    path: Path, weights: Mapping[str, object], expected: Mapping[str, object], error: Exception
) -> DoesNotFitError:
    tensors = {key: v for key, v in expected.items() if isinstance(v, Tensor)}
    other = sorted(
        key
        for key in tensors.keys() & weights.keys()
        if _shape(weights[key]) != _shape(tensors[key])
    )
    lacks = {
        key for key in tensors.keys() - weights.keys() if key.rpartition(".")[2] not in _NEVER_USED
    }
    unknown = weights.keys() - expected.keys()
    faults = [
        _brief("it lacks", lacks),
        _brief("it has", unknown, "which the network has not"),
        *(
            f"'{key}' is {_shape(weights[key])}, the network's is {_shape(tensors[key])}"
            for key in other[:1]
        ),
    ]
    found = "; ".join(fault for fault in faults if fault) or describe(error)
    distance = len(lacks) + len(unknown) + len(other)
    return DoesNotFitError(f"weights {path} are of another network: {found}", distance)


def _shape(value: object) -> list[int] | None:
    return list(value.shape) if isinstance(value, Tensor) and not is_lazy(value) else None


def _brief(what: str, keys: Iterable[str], after: str = "") -> str:
    names = sorted(keys)
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if names[1:] else ""
    return f"{what} '{names[0]}'{more}{f', {after}' if after else ''}"
