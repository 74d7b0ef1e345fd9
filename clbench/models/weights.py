"""Weights: where those of the zoo are, read and written, known by their sha256."""

import json
import os
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import safetensors.torch
import torch
import torch.hub
from torch import Tensor, nn

from clbench.models.checkpoints.load import load_checkpoint, the_weights
from clbench.models.checkpoints.read import (
    bytes_of,
    read_about,  # noqa: F401 - of the same files
    read_checkpoint,
)
from clbench.models.spec import ModelSpec, WeightsRow
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.errors import StorageError, WeightsError
from clbench.schema.files import sha256_of, write_atomically

_JSON_AT = 8
"""Where the header of a safetensors file begins, after its length."""


def cache_dir() -> Path:
    """Return the folder for downloaded weights: ``$CLBENCH_CACHE``, else ``~/.cache/clbench``."""
    return Path(os.environ.get("CLBENCH_CACHE") or Path.home() / ".cache" / "clbench")


def locate(spec: ModelSpec) -> Path:
    """Return the verified weights file of a zoo model: in the package, the cache, or fetched.

    Raises:
        WeightsError: There are no weights yet, or the file is missing or not the one in the row.
        StorageError: The cache cannot be written.
    """
    row = spec.weights
    if row is None:
        raise WeightsError(no_weights_yet(spec))
    packaged, cached = WEIGHTS_DIR / row.file, cache_dir() / row.file
    if packaged.exists():
        return _verified(packaged, spec.full_name, row.sha256, "install clbench again")
    if not cached.exists():
        if not row.url:
            raise WeightsError(
                f"weights of '{spec.full_name}' are missing at {packaged}; install clbench again"
            )
        _fetch(spec.full_name, row, cached)
    return _verified(cached, spec.full_name, row.sha256, f"move {cached} away and try again")


def no_weights_yet(spec: ModelSpec) -> str:
    """Return the sentence that says so, and how to make some."""
    return (
        f"model '{spec.full_name}' has no weights yet; train it with '{spec.training_command}' "
        "and give the file with --weights"
    )


def availability(spec: ModelSpec) -> str:
    """Return where a model's weights are: "package", "cache", "url", or "" where there are none."""
    if spec.weights is None:
        return ""
    if (WEIGHTS_DIR / spec.weights.file).exists():
        return "package"
    if (cache_dir() / spec.weights.file).exists():
        return "cache"
    return "url" if spec.weights.url else ""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file, in the precision they are stored in.

    Raises:
        WeightsError: The file is missing, damaged, or holds no tensors by name.
    """
    return {k: v for k, v in the_weights(read_checkpoint(path)).items() if isinstance(v, Tensor)}


def rows_in(path: Path, layer: str) -> int | None:
    """Return how many outputs a layer has in a weights file; None where the file has none such.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    names = (f".{layer}.weight", f".{layer}.bias")
    found = the_weights(read_checkpoint(path)).items()
    sizes = (
        len(value)
        for key, value in found
        if isinstance(value, Tensor) and value.ndim and f".{key}".endswith(names)
    )
    return next(sizes, None)


def load_weights(network: nn.Module, path: Path) -> str:
    """Fill ``network`` from a weights file, strictly, and return what tells these weights.

    It is the sha256 of a safetensors file that was taken as it is, otherwise of the network.

    Raises:
        WeightsError: The file cannot be read, or is of another network.
    """
    found = load_checkpoint(network, path)
    return found.file_sha256 if found.known_by_file else found.weights_sha256


def save_weights(
    network_or_state: nn.Module | Mapping[str, Tensor],
    path: Path,
    *,
    half: bool = True,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write weights as a safetensors file, whole or not at all.

    ``about`` is what the file tells of them besides; see ``read_about``.

    With ``half``, floating-point tensors are rounded to half precision, but for those with a value
    too large for it. Evaluate what was written, not what was in memory.

    Raises:
        StorageError: The file cannot be written.
    """
    state: Mapping[str, Tensor] = (
        network_or_state.state_dict()
        if isinstance(network_or_state, nn.Module)
        else network_or_state
    )
    tensors = {key: _stored(tensor, half=half) for key, tensor in state.items()}
    write_atomically(path, _in_order(safetensors.torch.save(tensors, dict(about or {}))))


def _in_order(file: bytes) -> bytes:
    """Return a safetensors file with what it tells in order: safetensors writes it in any."""
    end = _JSON_AT + int.from_bytes(file[:_JSON_AT], "little")
    header = json.loads(file[_JSON_AT:end])
    about = header.pop("__metadata__", {})
    sorted_first = {"__metadata__": dict(sorted(about.items()))} | header if about else header
    text = json.dumps(sorted_first, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(text) <= end - _JSON_AT, "the same fields in another order are as long"
    return file[:_JSON_AT] + text.ljust(end - _JSON_AT) + file[end:]


def _stored(tensor: Tensor, *, half: bool) -> Tensor:
    plain = tensor.detach().cpu().clone().contiguous()  # safetensors refuses shared memory
    if not (half and plain.is_floating_point()):
        return plain
    rounded = plain.half()
    return rounded if torch.equal(rounded.isfinite(), plain.isfinite()) else plain


def _verified(path: Path, name: str, sha256: str, remedy: str) -> Path:
    found = sha256_of(bytes_of(path))
    if found != sha256:
        raise WeightsError(
            f"weights of '{name}': sha256 is {found[:12]}, expected {sha256[:12]}; {remedy}"
        )
    return path


def _fetch(name: str, row: WeightsRow, cached: Path) -> None:
    """Download weights into the cache; nothing is left there of another file, or of half a one."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make {cached.parent}: {error.strerror}; "
            "set CLBENCH_CACHE to a folder that can be written"
        ) from error
    try:
        torch.hub.download_url_to_file(row.url, str(cached), row.sha256, progress=False)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"weights of '{name}' cannot be fetched from {row.url}: {reason}; "
            f"fetch {urlsplit(row.url).path.rpartition('/')[2]} by hand and give it with --weights"
        ) from error
    except RuntimeError as error:  # torch's word for a wrong sum
        raise WeightsError(
            f"weights of '{name}': {row.url} holds another file than the one of sha256 "
            f"{row.sha256[:12]}; give a file with --weights"
        ) from error
