"""Adversarial images of finished runs, as a component of another one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.attacks.interface import AttackPlan, AttackStep
from clbench.attacks.native.pooled import Pooled
from clbench.attacks.native.transfer import Transfer
from clbench.attacks.rows import Passes
from clbench.evaluation.certificates import Certificates
from clbench.evaluation.evidence import read_evidence
from clbench.schema.attack_spec import TRANSFER, Component
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.record_files import evidence_of, folder_of, read_record
from clbench.schema.records import DataEntry
from clbench.schema.threat_model import ThreatModel, format_eps, parse_eps


@dataclass(frozen=True, eq=False)
class Source:
    """The images that broke another network, by the index of their examples."""

    evidence_sha256: str
    certificates: Certificates
    place_of: dict[int, int]

    @cached_property
    def _certified(self) -> set[int]:
        return set(self.certificates.places.tolist())

    def image(self, index: int, clean: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """Return the image that broke an example, or the clean one where none did."""
        place = self.place_of.get(index, -1)
        if place not in self._certified:
            return clean
        found = self.certificates.images([place], clean.cpu().numpy())
        return torch.from_numpy(found).to(clean)


def read_source(path: Path, data: DataEntry, threat_model: ThreatModel) -> Source:
    """Return the images that a record's evidence certifies.

    Raises:
        RecordError: It or its evidence cannot be read.
        BadValueError: It is of other data or another ball, or has no images.
    """
    record = read_record(path)
    threat = record.threat_model
    if record.data.sha256 != data.sha256:
        raise BadValueError(
            f"transfer_from {path} is of other images ({record.data.name}, {record.data.n}) than "
            f"the {data.n} of {data.name}; take a record of the same ones"
        )
    inside = threat and threat.norm == threat_model.norm and parse_eps(threat.eps)
    if not threat or not inside or inside > threat_model.eps:
        was = f"{threat.norm} {threat.eps}" if threat else "no attack"
        raise BadValueError(
            f"transfer_from {path} must be of {threat_model.norm} with at most "
            f"{format_eps(threat_model.eps)}, got {was}"
        )
    out = folder_of(path)
    if out is None:
        raise RecordError(
            f"record {path} does not lie in a folder of results, DIR/records/DATA/NORM, beside "
            "whose records the evidence is"
        )
    evidence = read_evidence(evidence_of(path.absolute(), out), record.evidence_sha256)
    if evidence.certificates is None:
        raise BadValueError(
            f"transfer_from {path} has no adversarial images; run its evaluation again with "
            "--evidence full"
        )
    place_of = {index: place for place, index in enumerate(evidence.index.tolist())}
    return Source(record.evidence_sha256, evidence.certificates, place_of)


def with_transfer(plan: AttackPlan, sources: Sequence[Source]) -> AttackPlan:
    """Return a plan whose last component asks about the images of other runs.

    It is last, so that what it breaks is what the attacks before it could not. The hashes of the
    sources' evidence are its parameter, and so in the attack's hash.
    """

    def found(index: int, clean: Float[Tensor, "1 c h w"]) -> Float[Tensor, "s c h w"]:
        return torch.cat([source.image(index, clean) for source in sources])

    hashes = " ".join(source.evidence_sha256 for source in sources)
    component = Component(TRANSFER, {"evidence": hashes})
    step = AttackStep(
        TRANSFER,
        Pooled(TRANSFER, Transfer(len(sources), found)),
        black_box=True,
        passes=Passes(len(sources)),
    )
    name = f"{plan.spec.name} + {TRANSFER}"
    spec = replace(plan.spec, name=name, components=(*plan.spec.components, component))
    return replace(plan, spec=spec, backends=(*plan.backends, "native"), given=(*plan.given, step))
