"""What a network learns to make small, as a table: contrastive losses and cross-entropy."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def supcon(
    projections: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], *, temperature: float
) -> Float[Tensor, ""]:
    """Return the supervised contrastive loss in its outside form.

    Every view of every example is an anchor; its positives are all other rows of the same label,
    and it is compared with every row but itself. Projections are scaled to unit length here.

    Args:
        projections: Two or more views of the same examples.
        labels: One per example. The loss knows only which ones are equal.
        temperature: Divides the cosines; smaller looks harder at the nearest rows.

    Returns:
        A mean over anchors of the mean over their positives of the negative log-probability.

    Source:
        Khosla et al., 2020, arXiv:2004.11362, equation 2.
    """
    views, n, _ = projections.shape
    rows = functional.normalize(projections.float().flatten(0, 1), dim=1)
    itself = torch.eye(views * n, dtype=torch.bool, device=rows.device)
    cosines = (rows @ rows.T / temperature).masked_fill(itself, -torch.inf)
    log_share = cosines - cosines.logsumexp(dim=1, keepdim=True)
    ids = labels.repeat(views)
    positive = (ids[:, None] == ids[None, :]) & ~itself
    return -(log_share.where(positive, 0).sum(dim=1) / positive.sum(dim=1)).mean()


def nt_xent(projections: Float[Tensor, "views n d"], *, temperature: float) -> Float[Tensor, ""]:
    """Return SimCLR's loss: an anchor's only positives are the other views of its own example.

    It is ``supcon`` where no two examples share a label.

    Source:
        Chen et al., 2020, arXiv:2002.05709, equation 1 (normalised temperature-scaled
        cross-entropy).
    """
    own = torch.arange(projections.shape[1], device=projections.device)
    return supcon(projections, own, temperature=temperature)


@runtime_checkable
class Compute(Protocol):
    """The one signature of all rows of ``LOSSES``."""

    def __call__(
        self,
        outputs: Float[Tensor, "views n d"],
        labels: Int[Tensor, " n"],
        /,
        *,
        temperature: float,
    ) -> Float[Tensor, ""]:
        """Return the mean loss of a batch; a row is free to ignore what it does not need."""
        ...


@dataclass(frozen=True)
class Loss:
    """A row of ``LOSSES``.

    ``views`` is how many augmented views of each image it compares; ``projected`` says that it
    looks at a projector's output instead of the classifier's.
    """

    views: int
    projected: bool
    compute: Compute


def _nt_xent(
    outputs: Float[Tensor, "views n d"],
    labels: Int[Tensor, " n"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    del labels
    return nt_xent(outputs, temperature=temperature)


def _cross_entropy(
    outputs: Float[Tensor, "views n d"],
    labels: Int[Tensor, " n"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    del temperature
    logits, targets = outputs.float().flatten(0, 1), labels.repeat(len(outputs))
    return functional.cross_entropy(logits, targets)


LOSSES: dict[str, Loss] = {
    "nt_xent": Loss(views=2, projected=True, compute=_nt_xent),
    "supcon": Loss(views=2, projected=True, compute=supcon),
    "cross_entropy": Loss(views=1, projected=False, compute=_cross_entropy),
}
