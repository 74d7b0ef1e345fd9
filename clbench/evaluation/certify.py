"""From the images that broke examples to certificates that were confirmed once more."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.certificates import (
    Certificates,
    changes,
    encode,
    exact_changes,
    moved,
    no_digests,
    sampled,
    together,
)
from clbench.evaluation.confirm import confirm
from clbench.evaluation.kept import KeptImages
from clbench.evaluation.state import EvaluationState
from clbench.evaluation.tile_network import plain_logits
from clbench.schema.names import EvidenceKind
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True, eq=False)
class Certifier:
    """Makes certificates of what attacks found in one run.

    The network is asked in full ``tile`` s, so that what is certified of an example depends on no
    other one. These passes are not counted as the attacks'.
    """

    model: AttackedModel
    images: ImageSet
    threat_model: ThreatModel
    identity: str
    device: torch.device
    tile: int

    def certify(
        self, state: EvaluationState, kept: KeptImages, kind: EvidenceKind
    ) -> Certificates | None:
        """Return the certificates of all examples that attacks broke, or of a sample of them."""
        if kind == "verdicts":
            return None
        broken = (state.broken_by >= 0).nonzero()[:, 0]
        index = state.index.numpy()
        wanted = broken.numpy()
        if kind == "sample":
            wanted = sampled(self.identity, index, wanted)
        digests = no_digests(len(index), kind)
        parts = [self._part(state, broken[:0], kept.at(state, broken[:0]), kind)]
        for where in torch.split(broken, self.tile) if len(broken) else ():
            part = self._part(state, where, kept.at(state, where), kind)
            if digests is not None:
                for place, digest in part.packed_digests().items():
                    digests[place] = np.frombuffer(digest, np.uint8)
            parts.append(part.only(wanted))
        return together(parts, digests)

    def _part(
        self,
        state: EvaluationState,
        where: Int[Tensor, " b"],
        found: Float32[np.ndarray, "b c h w"],
        kind: EvidenceKind,
    ) -> Certificates:
        """Return the certificates of the examples at some places, at most a tile of them."""
        clean, threat = self.images.images[where].numpy(), self.threat_model
        coded, scale = encode(clean, found, threat.norm, float(threat.eps))
        holds = np.zeros(len(where), bool)
        if len(where):
            holds = self._holds(state, where, moved(clean, changes(coded, scale))).numpy()
        return Certificates(
            kind,
            *(where.numpy()[holds], coded[holds], scale[holds]),
            *(where.numpy()[~holds], exact_changes(clean[~holds], found[~holds])),
        )

    def _holds(
        self,
        state: EvaluationState,
        where: Int[Tensor, " b"],
        images: Float32[np.ndarray, "b c h w"],
    ) -> Bool[Tensor, " b"]:
        """Say which images are in the ball and misclassified like those that were found."""
        labels = self.images.labels[where].to(self.device)
        clean = self.images.images[where].to(self.device)
        before = self.model.forward_passes
        confirmed = confirm(
            lambda some: classes_of(plain_logits(self.model, some, self.tile)),
            clean,
            torch.from_numpy(images).to(self.device),
            labels,
            self.threat_model,
        )
        self.model.forward_passes = before
        alike = confirmed.predicted.cpu() == state.adv_pred[where]
        return confirmed.broken.cpu() & alike
