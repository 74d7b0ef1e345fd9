"""One weights file, whatever wrote it: recognised by its content, and nothing in it is run."""

import shlex
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from clbench.models.checkpoints.stand_ins import WouldRunError, with_stand_ins
from clbench.runtime.archives import check_archive
from clbench.schema.errors import BadValueError, WeightsError
from clbench.schema.files import DAMAGED_NPZ, sha256_of

SAFETENSORS, TORCH = "safetensors", "torch"

_JSON_AT = 8
"""Where the header of a safetensors file begins, after its length."""

_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""The number that older files of torch.save begin with, as a pickle has it."""

_MAGIC_WITHIN = 32
"""How far into the file it ends at most."""

_TAR_AT = 257
"""Where a tar archive says that it is one."""

_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself: git lfs pull"),
    (b"<", "a web page; fetch the file again"),
    (b"\x1f\x8b", "a gzip archive; unpack it and give the file in it"),
    (b"\x89HDF", "an HDF5 file, which Keras writes; save the weights by torch.save(state_dict)"),
)
"""What else is given as weights, by its first bytes, and what to do about it."""

_DAMAGED = (*DAMAGED_NPZ, UnpicklingError, struct.error, AttributeError, AssertionError)
"""What torch raises on a file that is cut off, altered or something else."""


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds: tensors by name, or tables around such.

    ``about`` is what a safetensors file tells of its weights besides. In the place of objects of
    other code are stand-ins.
    """

    path: Path
    kind: str
    sha256: str
    content: object
    about: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return what a weights file holds, on the CPU, in the precision it is stored in.

    Read are safetensors files and those of ``torch.save``, whatever they are called.

    Raises:
        WeightsError: The file is missing, damaged or of another kind, or only running code could
            read it.
    """
    data = bytes_of(path)
    for magic, what in _OTHERS:
        if data.startswith(magic) and not _is_safetensors(data):
            raise WeightsError(f"weights {path} are {what}")
    if data.startswith(b"PK\x03\x04"):
        _check_zip(path, data)
        return _from_torch(path, data)
    if data[_TAR_AT:].startswith(b"ustar"):
        raise WeightsError(
            f"weights {path} are a tar archive, not a file of torch.save; unpack it and give the "
            "file in it"
        )
    if data.startswith(b"\x80") and not _is_safetensors(data):
        if _MAGIC not in data[:_MAGIC_WITHIN]:
            raise _plain_pickle(path)
        return _from_torch(path, data)
    return _from_safetensors(path, data)


def read_about(path: Path) -> dict[str, str]:
    """Return what a safetensors file tells of its weights; nothing where it cannot be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def bytes_of(path: Path) -> bytes:
    """Return a weights file as it is.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a null byte in the name is no OSError
        raise WeightsError(f"weights {path} cannot be read: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _is_safetensors(data: bytes) -> bool:
    # the length of its header may begin with the same bytes as a pickle
    return data[_JSON_AT : _JSON_AT + 1] == b"{"


def _from_safetensors(path: Path, data: bytes) -> Checkpoint:
    try:
        content = safetensors.torch.load(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch has not
        raise WeightsError(
            f"weights {path} are cut off or neither a safetensors file nor one of torch.save "
            f"({error}); copy them again"
        ) from error
    return Checkpoint(path, SAFETENSORS, sha256_of(data), content, read_about(path))


def _from_torch(path: Path, data: bytes) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, and of torch's own old classes
            content = with_stand_ins(
                lambda: torch.load(BytesIO(data), map_location="cpu", weights_only=True)
            )
    except WouldRunError as error:
        raise WeightsError(
            f"weights {path} would run {error.function!r} where they are unpickled, which nothing "
            "here does; take the file from where the weights were made"
        ) from error
    except UnpicklingError as error:
        if "Weights only load failed" in str(error):
            raise WeightsError(
                f"weights {path} hold objects that only running code could read; where you trust "
                "it, open it by torch.load(path, weights_only=False) and save the weights in it by "
                "torch.save(state_dict, 'weights.pt')"
            ) from error
        raise _damaged(path, error) from error
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return Checkpoint(path, TORCH, sha256_of(data), content)


def _plain_pickle(path: Path) -> WeightsError:
    load = f"pickle.loads(pathlib.Path({str(path)!r}).read_bytes())"
    code = f"import pathlib, pickle, torch; torch.save({load}, 'weights.pt')"
    return WeightsError(
        f"weights {path} are a pickle that torch.save did not write, or damaged; where you trust "
        f"the file, run: python -c {shlex.quote(code)}"
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    cause = str(error).strip().partition("\n")[0][:100] or type(error).__name__
    return WeightsError(
        f"weights {path} are cut off, damaged or no file of torch.save ({cause}); copy them again"
    )


def _check_zip(path: Path, data: bytes) -> None:
    """Check that a zip archive is one of ``torch.save``, and holds no more than it weighs."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            check_archive(archive, len(data))
            broken = archive.testzip()  # torch itself does not look at the sums
            names = {Path(name).name for name in archive.namelist()}
            parts = {part for name in archive.namelist() for part in Path(name).parts[:-1]}
    except BadValueError as error:
        raise WeightsError(f"weights {path} {error}; copy them again") from error
    except DAMAGED_NPZ as error:
        raise _damaged(path, error) from error
    if broken:
        raise WeightsError(
            f"weights {path} are damaged: the sum of {broken!r} is wrong; copy them again"
        )
    if "constants.pkl" in names:
        load = f"torch.jit.load({str(path)!r}, 'cpu')"
        code = f"import torch; torch.save({load}.state_dict(), 'weights.pt')"
        raise WeightsError(
            f"weights {path} hold a network compiled by torch.jit with its code; where you trust "
            f"the file, run: python -c {shlex.quote(code)}"
        )
    if "data.pkl" not in names or "exported_programs" in parts:
        held = "a network of torch.export" if ".pt2" in path.suffix else ", ".join(sorted(names))
        raise WeightsError(
            f"weights {path} are a zip archive, but not of torch.save; it holds {held[:100]}; "
            "save the weights by torch.save(network.state_dict(), 'weights.pt')"
        )
