"""Signs of trouble in one batch of clean images."""

from collections import Counter

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.evaluation.attacked_model import AttackedModel
from clbench.models.validate import times_rounding
from clbench.schema.errors import ModelError
from clbench.schema.flags import RANDOMIZED

MAX_GRADIENTS_CHECKED = 512
_CALLS, _SOFTMAX_TOLERANCE, _SUM_TOLERANCE, _NEAR_BOUND = 5, 1e-5, 5e-3, 0.05
_FEWEST_OUTPUTS = 40
"""Fewer outputs may lie between 0 and 1 by chance."""

_DLR_CLASSES = 3


def examine(model: AttackedModel, images: Float[Tensor, "n c h w"]) -> Counter[str]:
    """Return the flags that one batch of clean images raises, before any attack, and their values.

    A flag that is so or is not has the value 1.
    """
    with torch.no_grad():
        answers = [model(images) for _ in range(_CALLS)]
    found = {
        RANDOMIZED: times_rounding(answers),
        "softmax_output": _is_softmax(answers[0]),
        "bounded_output": _is_bounded(answers[0]) and not _is_softmax(answers[0]),
        "dynamic": is_dynamic(model, images),
    }
    return +Counter(found)


def _is_softmax(logits: Float[Tensor, "n k"]) -> bool:
    """Say whether outputs are probabilities, also negated ones."""
    one_sign = (logits > -_SOFTMAX_TOLERANCE).all() or (logits < _SOFTMAX_TOLERANCE).all()
    # in half precision each probability is rounded to a thousandth of itself
    return bool(one_sign and ((logits.sum(dim=1).abs() - 1).abs() < _SUM_TOLERANCE).all())


def _is_bounded(logits: Float[Tensor, "n k"]) -> bool:
    """Say whether outputs look like those of a sigmoid or a tanh: most images near a bound of 1."""
    if logits.numel() < _FEWEST_OUTPUTS:
        return False
    low, high = -1 - _SOFTMAX_TOLERANCE, 1 + _SOFTMAX_TOLERANCE
    at_bound = (logits.amax(dim=1) > 1 - _NEAR_BOUND).float().mean()
    return bool(((logits > low) & (logits < high)).all() and at_bound > 1 / 2)


def is_dynamic(network: nn.Module, images: Float[Tensor, "n c h w"]) -> bool:
    """Say whether ``network`` computes gradients inside its own forward pass.

    Without gradients wanted, an ordinary network keeps nothing for a backward pass; one that runs
    such a pass of its own asks for what it kept, which autograd tells us. Function transforms
    such as ``torch.func.grad`` refuse to run while somebody listens: also an answer.
    """
    asked = False

    def hand_out(kept: Tensor) -> Tensor:
        nonlocal asked
        asked = True
        return kept

    try:
        with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, hand_out):
            network(images)
    except (RuntimeError, ModelError):
        return True
    return asked


def has_zero_gradient(
    model: AttackedModel, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Say at which images the gradient of the cross-entropy or the DLR loss is zero everywhere.

    Meant for images that are classified correctly. DLR needs three classes; with fewer, only the
    cross-entropy counts.
    """
    with torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        logits = model(images)
        losses = [functional.cross_entropy(logits, labels, reduction="sum")]
        if logits.shape[1] >= _DLR_CLASSES:
            losses.append(_dlr(logits, labels).sum())
        gradients = [torch.autograd.grad(loss, images, retain_graph=True)[0] for loss in losses]
    return torch.stack([(one == 0).flatten(1).all(dim=1) for one in gradients]).any(dim=0)


def _dlr(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the difference-of-logits-ratio loss: Croce and Hein, 2020, arXiv:2003.01690, eq. 6."""
    ordered = logits.sort(dim=1).values
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    right = logits.gather(1, labels[:, None])[:, 0]
    return (others - right) / (ordered[:, -1] - ordered[:, -3] + 1e-12)
