"""A black-box attack: the worst of many random perturbations."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class WorstOfNoise:
    """Random corners of the Linf ball, of which the one is taken that lowers the margin most."""

    n_queries: int = 50

    norms: ClassVar = ("Linf",)
    black_box: ClassVar = True

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Return images [n, c, h, w]; ``seed`` and ``index`` decide the noise of each."""
        eps = float(threat_model.eps)
        best, lowest = images, _margins(model(images), labels)
        numbers = [torch.Generator().manual_seed(seed * 2**32 + int(one)) for one in index]
        for _ in range(self.n_queries):
            signs = [torch.randint(2, images.shape[1:], generator=one) * 2 - 1 for one in numbers]
            tried = (images + eps * torch.stack(signs).to(images)).clamp(0, 1)
            margins = _margins(model(tried), labels)
            better = margins < lowest
            lowest = torch.where(better, margins, lowest)
            best = torch.where(better[:, None, None, None], tried, best)
        return best


def _margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the logit of the right class leads the others."""
    its = logits.gather(1, labels[:, None])[:, 0]
    return its - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
