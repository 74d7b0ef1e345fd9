"""Weights files: safetensors only, loaded strictly, known by their sha256."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import safetensors.torch
import torch
import torch.hub
from safetensors import SafetensorError
from torch import Tensor, nn

from clbench.models.spec import ModelSpec, WeightsRow
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.errors import StorageError, WeightsError
from clbench.schema.files import sha256_of, write_atomically

_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = re.compile(rb"\x80[\x02-\x05]")
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
    return _verified(cached, spec.full_name, row.sha256, f"delete {cached} and try again")


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
    """Return the tensors of a safetensors file, in the precision they are stored in.

    Raises:
        WeightsError: The file is missing, damaged, or a pickle, which could run any code.
    """
    return _parse(_bytes_of(path), path)


def read_about(path: Path) -> dict[str, str]:
    """Return what a safetensors file tells of its weights; nothing where it cannot be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def load_weights(network: nn.Module, path: Path) -> str:
    """Fill ``network`` from a safetensors file, exactly, and return the file's sha256.

    Raises:
        WeightsError: The file cannot be read, or is of another network.
    """
    data = _bytes_of(path)
    fill(network, _parse(data, path), path)
    return sha256_of(data)


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``weights`` into ``network``, whose own precision and device stay.

    Raises:
        WeightsError: A name is missing or unknown, or a shape differs; nothing was changed.
    """
    expected = {key: v for key, v in network.state_dict().items() if isinstance(v, Tensor)}
    shared = expected.keys() & weights.keys()
    other = {key for key in shared if expected[key].shape != weights[key].shape}
    faults = [
        _brief("it lacks", expected.keys() - weights.keys()),
        _brief("it has", weights.keys() - expected.keys(), "which the network has not"),
        *(
            f"'{key}' is {list(weights[key].shape)}, the network's is {list(expected[key].shape)}"
            for key in sorted(other)[:1]
        ),
    ]
    if any(faults):
        found = "; ".join(fault for fault in faults if fault)
        raise WeightsError(f"weights {path} are of another network: {found}")
    network.load_state_dict(dict(weights))


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


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read: {error.strerror}") from error


def _parse(data: bytes, path: Path) -> dict[str, Tensor]:
    # the length of a safetensors header may begin with the same bytes as a pickle
    pickled = _PICKLE_MAGIC.match(data) and data[_JSON_AT : _JSON_AT + 1] != b"{"
    if path.suffix.lower() in _PICKLE_SUFFIXES or data.startswith(_ZIP_MAGIC) or pickled:
        raise WeightsError(
            f"weights {path} are a pickle, which could run any code; convert them where you trust "
            "them: safetensors.torch.save_file(state_dict, 'x.safetensors')"
        )
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise WeightsError(
            f"weights {path} are cut off or no safetensors file ({error}); copy them again"
        ) from error
    return tensors


def _brief(what: str, keys: Iterable[str], after: str = "") -> str:
    names = sorted(keys)
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if names[1:] else ""
    return f"{what} '{names[0]}'{more}{f', {after}' if after else ''}"


def _verified(path: Path, name: str, sha256: str, remedy: str) -> Path:
    found = sha256_of(_bytes_of(path))
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
