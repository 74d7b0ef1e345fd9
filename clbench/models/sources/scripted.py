"""Networks that ``torch.jit.save`` wrote into a file, with their code as a graph."""

import warnings
import zipfile
from pathlib import Path, PurePath

import torch
from torch import nn

from clbench.models.interface import LoadedModel, Wanted
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError, ModelError, describe
from clbench.schema.files import DAMAGED_NPZ, sha256_of

_SCRIPT, _EXPORTED = "TorchScript", "torch.export"

_SIGNS = {
    "constants.pkl": _SCRIPT,
    "archive_format": _EXPORTED,
    "serialized_exported_program.json": _EXPORTED,  # as torch 2.6 writes it
}
"""By the name of an entry that only such an archive has: what wrote it."""

_DIGITS = 12


def holds_graph(file: Path) -> bool:
    """Say whether a file holds a network as a graph, of ``torch.jit`` or ``torch.export``."""
    return bool(_kind(file))


def load(file: Path, wanted: Wanted) -> LoadedModel:
    """Return the network of a file, whose graph is run where it is called.

    Raises:
        BadValueError: Weights were given, too.
        ModelError: The file is damaged, or of ``torch.export``, which reads its files by unpickling
            them, so that any code might run.
    """
    if wanted.weights:
        raise BadValueError(
            f"model {str(file)!r} has its weights, got {wanted.weights} too; leave one out"
        )
    if _kind(file) == _EXPORTED:
        raise ModelError(
            f"model {str(file)!r} is of torch.export, which reads a file by unpickling it, so that "
            "code in it would run; where you trust it, name a FILE.py:make with def make(): return "
            f"torch.export.load({str(file)!r}).module()"
        )
    try:
        digest = sha256_of(file.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this format old
            network: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(file), map_location="cpu"
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"model {str(file)!r} of torch.jit cannot be read: {describe(error)}; copy it again, "
            "or write it by the torch that is installed here"
        ) from error
    return LoadedModel(
        network=network,
        name=file.name,
        backbone=_SCRIPT,
        weights_sha256=state_sha256(network),
        file_sha256=digest,
        source=f"{_SCRIPT} {file.name} sha256:{digest[:_DIGITS]}",
    )


def _kind(file: Path) -> str:
    """Return what wrote a file with a graph, "" for any other file."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = {PurePath(name).name for name in archive.namelist()}
    except (*DAMAGED_NPZ, OSError):
        return ""
    return next((kind for sign, kind in _SIGNS.items() if sign in names), "")
