"""Signs that a robust accuracy is not what it seems, as flags that travel with the number."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.chance import AT_CHANCE
from clbench.models.validate import RANDOMIZED, is_randomized


class Flag(NamedTuple):
    """What a flag means, and whether it makes the robust accuracy unreliable."""

    meaning: str
    unreliable: bool


FLAGS: dict[str, Flag] = {
    RANDOMIZED: Flag(
        "the network answers differently when asked twice: use autoattack-rand", True
    ),
    "softmax_output": Flag(
        "the network returns probabilities instead of logits, which starve gradients", True
    ),
    "zero_gradient": Flag(
        "the loss has no gradient at some clean images, so gradient attacks are blind there", True
    ),
    "square_improves": Flag(
        "an attack without gradients broke images that the gradient attacks before it could not",
        True,
    ),
    "dynamic": Flag(
        "the network computes gradients while it predicts; attacks may not see through that", True
    ),
    "few_classes": Flag(
        "attacks on the DLR loss were left out, because there are too few classes for it", False
    ),
    "out_of_bounds": Flag(
        "an attack left the ball or the pixel range; those images count as not broken", True
    ),
    "nan_adversarial": Flag(
        "an attack returned NaN or infinite pixels; those images count as not broken", True
    ),
    AT_CHANCE: Flag(
        "the clean accuracy is hardly above chance: weights forgotten, images normalised twice or "
        "on another scale, labels shifted, or an encoder without a classifier",
        True,
    ),
    "nan_logits": Flag(
        "the network returned NaN; those images count as misclassified", True
    ),
}  # fmt: skip
"""Every flag that an evaluation may raise."""

MAX_GRADIENTS_CHECKED = 512
_CALLS, _SOFTMAX_TOLERANCE = 5, 1e-5
_DLR_CLASSES = 3


def is_unreliable(flags: Sequence[str]) -> bool:
    """Say whether one of ``flags`` makes the robust accuracy unreliable; one not known does."""
    return any(flag not in FLAGS or FLAGS[flag].unreliable for flag in flags)


def meaning(flag: str) -> str:
    """Return what a flag means; records of another version may have flags not known here."""
    return FLAGS[flag].meaning if flag in FLAGS else "a flag that this version does not know"


def examine(model: AttackedModel, images: Float[Tensor, "n c h w"]) -> set[str]:
    """Return the flags that one batch of clean images raises, before any attack."""
    with torch.no_grad():
        answers = [model(images) for _ in range(_CALLS)]
    found = {
        RANDOMIZED: is_randomized(answers),
        "softmax_output": _is_softmax(answers[0]),
        "dynamic": is_dynamic(model, images),
    }
    return {flag for flag, raised in found.items() if raised}


def _is_softmax(logits: Float[Tensor, "n k"]) -> bool:
    in_range = (logits > -_SOFTMAX_TOLERANCE) & (logits < 1 + _SOFTMAX_TOLERANCE)
    sums = (logits.sum(dim=1) - 1).abs() < _SOFTMAX_TOLERANCE
    return bool(in_range.all() and sums.all())


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
    except RuntimeError:
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
