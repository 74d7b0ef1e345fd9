"""Adversarial images of somebody else's attack, checked one by one against a record."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from jaxtyping import Float, Int

from clbench.attacks.norms import NORMS, is_inside
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.runtime.archives import check_archive
from clbench.runtime.devices import find_device
from clbench.schema.errors import BadValueError, DataError, WeightsError
from clbench.schema.files import DAMAGED_NPZ
from clbench.schema.records import EvaluationRecord
from clbench.schema.threat_model import ThreatModel, parse_eps, parse_norm
from clbench.verification.ask import find_images, find_model, of_content, of_weights
from clbench.verification.findings import Stored
from clbench.verification.request import Given

LAYOUT = "index [m], places in the data set, and adversarial [m, c, h, w], floats in [0, 1]"

_AT_ONCE = 128
"""Images that are looked at together."""


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
        content = path.read_bytes()
        with ZipFile(BytesIO(content)) as archive:
            check_archive(archive, len(content))
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


def robust_beside(certificate: Certificate, stored: Stored, given: Given) -> int:
    """Return how many examples that a record holds robust are so beside a certificate, too.

    Args:
        certificate: Images.
        stored: The record, and its evidence.
        given: Network and images, where the record's own names do not lead to them.

    Raises:
        ClbenchError: The network or the images are not those of the record, or an image is
            outside of the ball, outside of the pixel range, or classified rightly.
    """
    evidence, path = stored.evidence, certificate.path
    assert evidence is not None, "it was read"
    images = find_images(stored, given)
    if problems := of_content(stored, images):
        raise DataError(str(problems[0]))
    position = {int(index): place for place, index in enumerate(evidence.index)}
    stray = [int(index) for index in certificate.index if int(index) not in position]
    if stray:
        raise DataError(f"certificate '{path}' has example {stray[0]}, which the record has not")
    if certificate.adversarial.shape[1:] != tuple(images.images.shape[1:]):
        raise DataError(
            f"adversarial of certificate '{path}' must be of the images' shape "
            f"{list(images.images.shape[1:])}, got {list(certificate.adversarial.shape[1:])}"
        )
    asked = find_model(stored, given, images, find_device("cpu"))
    if problems := of_weights(stored, asked.model):
        raise WeightsError(str(problems[0]))
    places = torch.tensor([position[int(index)] for index in certificate.index])
    model, threat_model = AttackedModel(asked.model.network), _threat_model(stored.record)
    _check(certificate, threat_model, images.select(places), model)
    fallen = np.zeros(len(evidence), dtype=bool)
    fallen[places.numpy()] = True
    return int(((evidence.broken_by == BY_NOTHING) & ~fallen).sum())


def _check(
    certificate: Certificate, threat_model: ThreatModel, images: ImageSet, model: AttackedModel
) -> None:
    """Check that every image is allowed and that the network is wrong about it.

    Args:
        certificate: Images.
        threat_model: What is allowed.
        images: The clean ones, in the same order.
        model: The network.

    Raises:
        DataError: One is not; the message names its example.
    """
    for start in range(0, len(images), _AT_ONCE):
        where = slice(start, start + _AT_ONCE)
        returned = torch.from_numpy(certificate.adversarial[where])
        clean, labels = images.images[where], images.labels[where]
        allowed = is_inside(returned, clean, threat_model)
        broken = model.classify(returned) != labels
        if (allowed & broken).all():
            continue
        place = int((~(allowed & broken)).nonzero()[0, 0])
        at = f"example {int(certificate.index[start + place])} of certificate '{certificate.path}'"
        if allowed[place]:
            raise DataError(f"the network classifies {at} rightly; leave it out")
        norm = NORMS[threat_model.norm]
        far = float(norm.distance(returned[place][None], clean[place][None])[0])
        raise DataError(
            f"{at} must lie within {threat_model} and in [0, 1], got a distance of {far:.6g}; "
            "leave it out"
        )


def _threat_model(record: EvaluationRecord) -> ThreatModel:
    assert record.threat_model, "an attacked record has a threat model"
    return ThreatModel(parse_norm(record.threat_model.norm), parse_eps(record.threat_model.eps))
