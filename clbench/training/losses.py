"""What a network learns to make small, as a table: contrastive losses, cross-entropy, TRADES."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clbench.schema.names import Scheme


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


def trades(
    logits: Float[Tensor, "views n k"], labels: Int[Tensor, " n"], *, beta: float
) -> Float[Tensor, ""]:
    """Return the cross-entropy of clean logits plus ``beta`` times how far adversarial ones differ.

    The difference is the Kullback-Leibler divergence of the adversarial prediction from the clean
    one. As the clean logits are constants to an attack, what it can raise is the divergence alone.

    Args:
        logits: The first half of the views is clean, the second half adversarial, in one order.
        labels: One per example.
        beta: The weight of the divergence, at least 0.

    Source:
        Zhang et al., 2019, arXiv:1901.08573, equation 5, where beta is 1 / lambda.
    """
    clean, adversarial = logits.float().flatten(0, 1).chunk(2)
    ours, theirs = clean.log_softmax(dim=1), adversarial.log_softmax(dim=1)
    divergence = functional.kl_div(theirs, ours, reduction="batchmean", log_target=True)
    targets = labels.repeat(len(logits) // 2)
    return functional.cross_entropy(clean, targets) + beta * divergence


@dataclass(frozen=True)
class Weights:
    """The numbers that a loss may depend on: a contrastive temperature, the beta of TRADES."""

    temperature: float
    beta: float


@runtime_checkable
class Compute(Protocol):
    """The one signature of all rows of ``LOSSES``."""

    def __call__(
        self, outputs: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], weights: Weights, /
    ) -> Float[Tensor, ""]:
        """Return the mean loss of a batch; a row is free to ignore what it does not need."""
        ...


@dataclass(frozen=True)
class Loss:
    """A row of ``LOSSES``.

    Attributes:
        scheme: What pretraining by it is called.
        views: How many augmented views of each image it compares.
        projected: It looks at a projector's output instead of the classifier's, and compares
            examples with each other, so that it needs the batch of all devices.
        labelled: It uses labels.
        anchored: It compares adversarial views with the clean ones they were made from.
        compute: Its value.
    """

    scheme: Scheme
    views: int
    projected: bool
    labelled: bool
    compute: Compute
    anchored: bool = False


def _nt_xent(
    outputs: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], weights: Weights
) -> Float[Tensor, ""]:
    del labels
    return nt_xent(outputs, temperature=weights.temperature)


def _supcon(
    outputs: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], weights: Weights
) -> Float[Tensor, ""]:
    return supcon(outputs, labels, temperature=weights.temperature)


def _cross_entropy(
    outputs: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], weights: Weights
) -> Float[Tensor, ""]:
    del weights
    logits, targets = outputs.float().flatten(0, 1), labels.repeat(len(outputs))
    return functional.cross_entropy(logits, targets)


def _trades(
    outputs: Float[Tensor, "views n d"], labels: Int[Tensor, " n"], weights: Weights
) -> Float[Tensor, ""]:
    return trades(outputs, labels, beta=weights.beta)


LOSSES: dict[str, Loss] = {
    "nt_xent": Loss("simclr", views=2, projected=True, labelled=False, compute=_nt_xent),
    "supcon": Loss("supcon", views=2, projected=True, labelled=True, compute=_supcon),
    "cross_entropy": Loss(
        "supervised", views=1, projected=False, labelled=True, compute=_cross_entropy
    ),
    "trades": Loss(
        "supervised", views=1, projected=False, labelled=True, compute=_trades, anchored=True
    ),
}
