"""Losses that attacks raise, image by image, from logits."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

LossName = Literal["ce", "dlr", "dlr-targeted", "margin-targeted"]

Loss = Callable[[Float[Tensor, "n k"], Int[Tensor, " n"], Int[Tensor, " n"]], Float[Tensor, " n"]]
"""Of logits, labels and target classes."""

_GUARD = 1e-12


def cross_entropy(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the cross-entropy of the right class."""
    del target
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return by how much the right class leads; at most 0 where another one does."""
    rivals = logits.scatter(1, labels[:, None], -torch.inf)
    return of_class(logits, labels) - rivals.amax(dim=1)


def dlr(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the difference of logits ratio, for three classes or more.

    Source:
        Croce and Hein, 2020, arXiv:2003.01690, equation 6.
    """
    del target
    first, _, third = logits.topk(3, dim=1).values.unbind(1)
    return -margin(logits, labels) / (first - third + _GUARD)


def targeted_dlr(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the targeted difference of logits ratio, for four classes or more.

    Source:
        Croce and Hein, 2020, arXiv:2003.01690, equation 7.
    """
    first, _, third, fourth = logits.topk(4, dim=1).values.unbind(1)
    lead = of_class(logits, labels) - of_class(logits, target)
    return -lead / (first - (third + fourth) / 2 + _GUARD)


def targeted_margin(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return by how much the target leads the right class.

    Source:
        Gao et al., 2022, arXiv:2206.07314; there it is not divided by a range of logits either.
    """
    return of_class(logits, target) - of_class(logits, labels)


def likeliest_wrong(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], n: int
) -> Int[Tensor, "n a"]:
    """Return the ``n`` classes of the highest logits but for the right one, the highest first."""
    return logits.scatter(1, labels[:, None], -torch.inf).topk(n, dim=1).indices


def of_class(logits: Float[Tensor, "n k"], classes: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return of each row the logit of its class."""
    return logits.gather(1, classes[:, None])[:, 0]


LOSSES: dict[LossName, Loss] = {
    "ce": cross_entropy,
    "dlr": dlr,
    "dlr-targeted": targeted_dlr,
    "margin-targeted": targeted_margin,
}
