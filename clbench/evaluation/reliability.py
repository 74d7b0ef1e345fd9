"""Signs that a robust accuracy is not what it seems, as flags that travel with the number."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.chance import AT_CHANCE
from clbench.models.validate import (
    BATCH_DEPENDENT,
    GRADIENT_MODE,
    NO_DERIVATIVE,
    RANDOMIZED,
    WRONG_GRADIENT,
    is_randomized,
)
from clbench.schema.errors import ModelError
from clbench.schema.records import UPPER_BOUND


class Flag(NamedTuple):
    """What a flag means, and whether it makes the robust accuracy unreliable.

    ``remedy`` is the attack to use instead, where there is one.
    """

    meaning: str
    unreliable: bool = True
    remedy: str = ""


FLAGS: dict[str, Flag] = {
    RANDOMIZED: Flag("the network answers differently when asked twice", remedy="autoattack-rand"),
    BATCH_DEPENDENT: Flag(
        "the network's answer to an image depends on the other images of its batch, so verdicts "
        "hold for these batches alone; does a batch norm run in training mode?"
    ),
    GRADIENT_MODE: Flag(
        "the network answers differently while a gradient is wanted, so attacks see another "
        "function than the one that is scored"
    ),
    WRONG_GRADIENT: Flag(
        "the network's gradient is not the slope of its answers, so gradient attacks are misled; "
        "is a part of it detached, or a backward pass replaced?"
    ),
    NO_DERIVATIVE: Flag(
        "no gradient can be asked for at the images, so that attacks with gradients are blind",
        remedy="square",
    ),
    "softmax_output": Flag(
        "the network returns probabilities instead of logits, which starve gradients"
    ),
    "bounded_output": Flag(
        "the network's outputs are bounded, as behind a sigmoid or tanh, which starves gradients; "
        "return what goes into it"
    ),
    "zero_gradient": Flag(
        "the loss has no gradient at some clean images, so gradient attacks are blind there"
    ),
    "tiny_gradient": Flag(
        "at some clean images the gradient is too small to be followed, whatever the logits are "
        "multiplied by"
    ),
    "nan_gradient": Flag(
        "gradients held NaN or infinite entries, which counted as zero; attacks were weaker there"
    ),
    "square_improves": Flag(
        "an attack without gradients broke images that the gradient attacks before it could not"
    ),
    "dynamic": Flag(
        "the network computes gradients while it predicts; attacks may not see through that"
    ),
    "long_images": Flag(
        "Square in L2 cannot place its windows well in images that are much longer than wide, so "
        "it is weaker than on square ones"
    ),
    "few_classes": Flag(
        "attacks on the DLR loss were left out, because there are too few classes for it",
        unreliable=False,
    ),
    UPPER_BOUND: Flag(
        "the attack is a short one, for first looks, so that the robust accuracy is an upper bound "
        "and has no rank; the same command with --finish goes on from here to autoattack's",
        unreliable=False,
    ),
    "out_of_bounds": Flag(
        "an attack left the ball or the pixel range; those images count as not broken"
    ),
    "nan_adversarial": Flag(
        "an attack returned NaN or infinite pixels; those images count as not broken"
    ),
    AT_CHANCE: Flag(
        "the clean accuracy is hardly above chance: weights forgotten, images normalised twice or "
        "on another scale, labels shifted, or an encoder without a classifier"
    ),
    "nan_logits": Flag("the network returned NaN; those images count as misclassified"),
}
"""Every flag that an evaluation may raise."""

MAX_GRADIENTS_CHECKED = 512
_CALLS, _SOFTMAX_TOLERANCE, _SUM_TOLERANCE, _NEAR_BOUND = 5, 1e-5, 5e-3, 0.05
_FEWEST_OUTPUTS = 40
"""Fewer outputs may lie between 0 and 1 by chance."""

_DLR_CLASSES = 3


def is_unreliable(flags: Sequence[str]) -> bool:
    """Say whether one of ``flags`` makes the robust accuracy unreliable; one not known does."""
    return any(flag not in FLAGS or FLAGS[flag].unreliable for flag in flags)


def meaning(flag: str, attack: str = "") -> str:
    """Return what a flag means, and what to use instead of an attack, in one line.

    Records of another version may have flags not known here.
    """
    row = FLAGS.get(flag, Flag("a flag that this version does not know"))
    advise = row.remedy and row.remedy not in attack
    return f"{row.meaning}: use --attack {row.remedy}" if advise else row.meaning


def examine(model: AttackedModel, images: Float[Tensor, "n c h w"]) -> set[str]:
    """Return the flags that one batch of clean images raises, before any attack."""
    with torch.no_grad():
        answers = [model(images) for _ in range(_CALLS)]
    found = {
        RANDOMIZED: is_randomized(answers),
        "softmax_output": _is_softmax(answers[0]),
        "bounded_output": _is_bounded(answers[0]) and not _is_softmax(answers[0]),
        "dynamic": is_dynamic(model, images),
    }
    return {flag for flag, raised in found.items() if raised}


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
