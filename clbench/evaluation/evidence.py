"""What happened to every example, as a file: what the numbers of a record follow from."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from clbench.schema.errors import RecordError
from clbench.schema.files import DAMAGED_NPZ, sha256_of

_ARRAYS = ("index", "label", "clean_pred", "adv_pred", "broken_by")
_OPTIONAL = ("logits", "adversarial")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What happened to every example of a run, in the order of the data.

    ``index`` is the place of each example in its data set, ``label`` its class; ``clean_pred`` and
    ``adv_pred`` are what the network says of the clean and of the adversarial image; ``broken_by``
    names the first attack that broke it, "clean" where the clean image is misclassified, "" where
    it stayed robust. ``logits`` are the network's for the first clean images, ``adversarial`` the
    images; None where they were not kept. ``identity`` is the hash of the run, "" in files of 0.1.
    """

    identity: str
    index: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    clean_pred: Int[np.ndarray, " n"]
    adv_pred: Int[np.ndarray, " n"]
    broken_by: Shaped[np.ndarray, " n"]
    logits: Float[np.ndarray, "m k"] | None = None
    adversarial: Float[np.ndarray, "n c h w"] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def to_bytes(self) -> bytes:
        """Return the content of an ``.npz`` file; the same evidence gives the same bytes."""
        file = io.BytesIO()
        self.write_to(file)
        return file.getvalue()

    def write_to(self, file: io.BufferedIOBase) -> None:
        """Write that content to a file, part by part."""
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, *_OPTIONAL)}
        kept: dict[str, Any] = {name: one for name, one in arrays.items() if one is not None}
        np.savez_compressed(file, allow_pickle=False, identity=np.array(self.identity), **kept)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> "Evidence":
        """Return the evidence that a file holds.

        Raises:
            RecordError: It is damaged, or lacks something.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays: dict[str, Any] = {name: file[name] for name in file.files}
            identity = str(arrays.get("identity", ""))
            required = {name: arrays[name] for name in _ARRAYS}
            optional = {name: arrays[name] for name in _OPTIONAL if name in arrays}
            lengths = {len(one) for one in required.values()}
        except DAMAGED_NPZ as error:
            raise RecordError(f"evidence {path} is cut off or damaged") from error
        if len(lengths) > 1:
            raise RecordError(f"evidence {path} is damaged: its arrays have different lengths")
        return cls(identity, **required, **optional)


def read_evidence(path: Path, sha256: str) -> Evidence:
    """Return the evidence in a file whose sha256 a record names; "" for a record that names none.

    Raises:
        RecordError: It is missing, another one, damaged, or lacks something.
    """
    return Evidence.from_bytes(_content(path, sha256), path)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The part of evidence that is small: ``index`` and ``broken_by`` of every example."""

    index: Int[np.ndarray, " n"]
    broken_by: Shaped[np.ndarray, " n"]


def read_verdicts(path: Path, sha256: str) -> Verdicts:
    """Return verdicts alone from a file as for ``read_evidence``; images are not unpacked.

    Raises:
        RecordError: As ``read_evidence``.
    """
    data = _content(path, sha256)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            found = Verdicts(index=file["index"], broken_by=file["broken_by"])
            is_list = found.index.ndim == 1 and found.index.dtype.kind in "iu"
            fits = found.broken_by.shape == found.index.shape and found.broken_by.dtype.kind == "U"
    except DAMAGED_NPZ as error:
        raise RecordError(f"evidence {path} is cut off or damaged") from error
    if not (is_list and fits):
        raise RecordError(f"evidence {path} is damaged: it holds no verdict of each example")
    return found


def _content(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"evidence {path} cannot be read: {error.strerror}") from error
    if sha256 not in ("", sha256_of(data)):
        raise RecordError(f"evidence {path} is not the one that its record names")
    return data
