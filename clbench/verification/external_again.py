"""A network that is asked about adversarial images of somebody else's attack."""

import torch

from clbench.attacks.norms import NORMS, is_inside
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.schema.errors import DataError
from clbench.schema.threat_model import ThreatModel, parse_eps, parse_norm
from clbench.verification.ask import Asked
from clbench.verification.external_images import Certificate, places_in
from clbench.verification.findings import Stored

_AT_ONCE = 128
"""Images that are looked at together."""


def check_certificate(certificate: Certificate, stored: Stored, asked: Asked) -> None:
    """Check that every image of a certificate is allowed and that the network is wrong about it.

    Raises:
        DataError: One is not; the message names its example.
    """
    assert stored.evidence is not None, "it was read"
    assert stored.record.threat_model is not None, "something was attacked"
    places, sizes = places_in(certificate, stored.evidence), asked.images.images.shape[1:]
    if certificate.adversarial.shape[1:] != tuple(sizes):
        raise DataError(
            f"adversarial of certificate '{certificate.path}' must be of the images' shape "
            f"{list(sizes)}, got {list(certificate.adversarial.shape[1:])}"
        )
    threat = stored.record.threat_model
    allowed = ThreatModel(parse_norm(threat.norm), parse_eps(threat.eps))
    clean = asked.images.select(torch.from_numpy(places))
    _check(certificate, allowed, clean, AttackedModel(asked.model.network), asked.device)


def _check(
    certificate: Certificate,
    threat_model: ThreatModel,
    images: ImageSet,
    model: AttackedModel,
    device: torch.device,
) -> None:
    for start in range(0, len(images), _AT_ONCE):
        where = slice(start, start + _AT_ONCE)
        returned = torch.from_numpy(certificate.adversarial[where])
        clean, labels = images.images[where], images.labels[where]
        allowed = is_inside(returned, clean, threat_model)
        broken = model.classify(returned.to(device)).cpu() != labels
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
