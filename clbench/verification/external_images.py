"""Adversarial images of somebody else's attack, as far as files tell; nothing here loads torch."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from jaxtyping import Float, Int

from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.runtime.archives import check_archive, most_bytes
from clbench.runtime.npy_headers import headers_in
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.files import DAMAGED_NPZ, read_file

LAYOUT = "index [m], places in the data set, and adversarial [m, c, h, w], floats in [0, 1]"


@dataclass(frozen=True, eq=False)
class Certificate:
    """Examples by their place in the data set, and an adversarial image of each."""

    path: Path
    content: bytes
    index: Int[np.ndarray, " m"]
    adversarial: Float[np.ndarray, "m c h w"]


def read_certificate(path: Path) -> Certificate:
    """Read a ``.npz`` file of adversarial images.

    Raises:
        DataError: It is missing, damaged, or holds something else.
    """
    try:
        content = read_file(path, most_bytes())
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DataError(f"certificate '{path}' cannot be read: {why}") from error
    try:
        with ZipFile(BytesIO(content)) as archive:
            check_archive(archive, len(content))
            headers_in(archive)
        with np.load(BytesIO(content), allow_pickle=False) as file:
            index, images = file["index"], file["adversarial"]
    except BadValueError as error:
        raise DataError(f"certificate '{path}' {error}") from error
    except DAMAGED_NPZ as error:
        raise DataError(f"certificate '{path}' is no .npz file with {LAYOUT}") from error
    if index.dtype.kind not in "iu" or index.ndim != 1 or not index.size:
        raise DataError(
            f"index of certificate '{path}' must be whole numbers [m], got {index.dtype} "
            f"{list(index.shape)}"
        )
    if images.dtype.kind != "f" or images.shape[:1] != index.shape or images.ndim != 4:  # noqa: PLR2004 - the axes
        raise DataError(
            f"adversarial of certificate '{path}' must be floats [{len(index)}, c, h, w], got "
            f"{images.dtype} {list(images.shape)}"
        )
    if len(np.unique(index)) != len(index):
        raise DataError(f"certificate '{path}' has an example twice; leave one of them out")
    with np.errstate(over="ignore"):  # what float32 cannot hold lies outside of the ball
        return Certificate(path, content, index.astype(np.int64), images.astype(np.float32))


def places_in(certificate: Certificate, evidence: Evidence) -> Int[np.ndarray, " m"]:
    """Return where evidence has the examples of a certificate.

    Raises:
        DataError: It has one of them not.
    """
    position = {int(index): place for place, index in enumerate(evidence.index)}
    stray = [int(index) for index in certificate.index if int(index) not in position]
    if stray:
        raise DataError(
            f"certificate '{certificate.path}' has example {stray[0]}, which the record has not"
        )
    return np.array([position[int(index)] for index in certificate.index])


def robust_beside(certificate: Certificate, evidence: Evidence) -> int:
    """Return how many examples stay robust where every image of a certificate breaks its own.

    Raises:
        DataError: Evidence has one of them not.
    """
    robust = evidence.broken_by == BY_NOTHING
    robust[places_in(certificate, evidence)] = False
    return int(robust.sum())
