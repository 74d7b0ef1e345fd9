"""What happened to every example, as a file: what the numbers of a record follow from."""

import io
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from clbench.evaluation.certificates import Certificates
from clbench.evaluation.evidence_arrays import OF_EXAMPLES, OPTIONAL, check_arrays
from clbench.runtime.archives import check_archive, most_bytes
from clbench.runtime.npy_headers import headers_in
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.files import DAMAGED_NPZ, read_file, sha256_of
from clbench.schema.names import EvidenceKind


@dataclass(frozen=True, eq=False)
class Evidence:
    """What happened to every example of a run, in the order of the data.

    ``index`` is the place of each example in its data set, ``label`` its class; ``clean_pred`` and
    ``adv_pred`` are what the network says of the clean and of the adversarial image; ``broken_by``
    names the first attack that broke it, "clean" where the clean image is misclassified, "" where
    it stayed robust. ``logits`` are the network's for the first clean images, ``certificates`` the
    images that prove what is broken, packed; ``adversarial`` are all images as floats, where these
    were wanted. None where they were not kept. ``identity`` is the hash of the run, "" in files of
    0.1.
    """

    identity: str
    index: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    clean_pred: Int[np.ndarray, " n"]
    adv_pred: Int[np.ndarray, " n"]
    broken_by: Shaped[np.ndarray, " n"]
    logits: Float[np.ndarray, "m k"] | None = None
    adversarial: Float[np.ndarray, "n c h w"] | None = None
    certificates: Certificates | None = None

    @property
    def kind(self) -> EvidenceKind:
        """How much it proves."""
        return "verdicts" if self.certificates is None else self.certificates.kind

    def __len__(self) -> int:
        return len(self.index)

    def to_bytes(self) -> bytes:
        """Return the content of an ``.npz`` file; the same evidence gives the same bytes."""
        file = io.BytesIO()
        self.write_to(file)
        return file.getvalue()

    def write_to(self, file: io.BufferedIOBase) -> None:
        """Write that content to a file, part by part."""
        arrays = {name: getattr(self, name) for name in (*OF_EXAMPLES, *OPTIONAL)}
        kept: dict[str, Any] = {name: one for name, one in arrays.items() if one is not None}
        kept |= {} if self.certificates is None else self.certificates.arrays()
        np.savez_compressed(file, allow_pickle=False, identity=np.array(self.identity), **kept)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> "Evidence":
        """Return the evidence that a file holds.

        Raises:
            RecordError: It is damaged, or lacks something.
        """
        with _named(path):
            with _opened(data) as file:
                arrays: dict[str, Any] = {name: file[name] for name in file.files}
            required = {name: arrays[name] for name in OF_EXAMPLES}
            optional = {name: arrays[name] for name in OPTIONAL if name in arrays}
            certificates = Certificates.of_arrays(arrays, len(required["index"]))
        identity = str(arrays.get("identity", ""))
        return cls(identity, **required, **optional, certificates=certificates)


def read_evidence(path: Path, sha256: str) -> Evidence:
    """Return the evidence in a file whose sha256 a record names; "" for a record that names none.

    Raises:
        RecordError: It is missing, another one, damaged, or lacks something.
    """
    return Evidence.from_bytes(_content(path, sha256), path)


_VERDICTS = ("index", "broken_by")


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
    with _named(path), _opened(data, _VERDICTS) as file:
        return Verdicts(index=file["index"], broken_by=file["broken_by"])


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error in the block name the file, and be one of a record.

    Raises:
        RecordError: There was one.
    """
    try:
        yield
    except BadValueError as error:
        raise RecordError(f"evidence {path} is damaged: it {error}") from error
    except DAMAGED_NPZ as error:
        raise RecordError(f"evidence {path} is cut off or damaged") from error


def _opened(data: bytes, names: Collection[str] = ()) -> Any:  # noqa: ANN401 - numpy's archive
    """Return an archive of arrays, whatever it claims: what memory cannot hold is refused.

    Where ``names`` are given, the others are not looked at.

    Raises:
        BadValueError: It claims more than memory holds, or than such a file can hold; or its arrays
            are not those of evidence.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_archive(archive, len(data))
        check_arrays(headers_in(archive, names), names or OF_EXAMPLES)
    return np.load(io.BytesIO(data), allow_pickle=False)


def _content(path: Path, sha256: str) -> bytes:
    try:
        data = read_file(path, most_bytes())
    except OSError as error:
        raise RecordError(f"evidence {path} cannot be read: {error.strerror}") from error
    if sha256 not in ("", sha256_of(data)):
        raise RecordError(f"evidence {path} is not the one that its record names")
    return data
