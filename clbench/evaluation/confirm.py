"""The one check of what attacks return: is it allowed, and is the plain network wrong about it?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.attacks.norms import is_inside
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.runtime.seeding import randomness, step_seed
from clbench.schema.threat_model import ThreatModel

Classify = Callable[[Float[Tensor, "n c h w"]], Int[Tensor, " n"]]
"""From images to the classes that the plain network gives in float32, -1 where it gives NaN."""


@dataclass(frozen=True)
class Batch:
    """Examples under attack; ``index`` is their place in the whole data set, on the CPU."""

    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]

    @classmethod
    def at(cls, images: ImageSet, where: Int[Tensor, " b"], device: torch.device) -> "Batch":
        """Return the examples at these places, on a device."""
        parts = images.images[where].to(device), images.labels[where].to(device)
        return cls(*parts, images.index[where])


@dataclass(frozen=True)
class Confirmed:
    """What the plain network says of what an attack returned.

    ``adversarial`` is what the attack returned, or the clean image where that was not allowed;
    ``broken`` says where it is allowed and the network is wrong about it. ``flags`` count the
    images that raised each.
    """

    adversarial: Float[Tensor, "n c h w"]
    predicted: Int[Tensor, " n"]
    broken: Bool[Tensor, " n"]
    flags: dict[str, int]


def confirm(
    classify: Classify,
    clean: Float[Tensor, "n c h w"],
    returned: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    threat_model: ThreatModel,
    *,
    bounded: bool = True,
) -> Confirmed:
    """Check what an attack returned for clean images, and ask the plain network.

    Images that are not finite, outside of the ball or outside of the pixel range count as not
    broken and raise a flag (leaving the ball does not for attacks that are not ``bounded``).

    Args:
        classify: The plain network.
        clean: Where the balls are centred.
        returned: What the attack made of them, in their order.
        labels: The right classes.
        threat_model: Which perturbations are allowed.
        bounded: Whether the attack promises to stay in the ball.
    """
    finite = returned.isfinite().flatten(1).all(dim=1)
    allowed = finite & is_inside(returned, clean, threat_model)
    adversarial = returned.where(allowed[:, None, None, None], clean)
    predicted = classify(adversarial)
    found = {
        "nan_adversarial": ~finite,
        "out_of_bounds": finite & ~allowed & bounded,
        "nan_logits": predicted < 0,
    }
    flags = {flag: int(raised.sum()) for flag, raised in found.items() if raised.any()}
    return Confirmed(adversarial, predicted, allowed & (predicted != labels), flags)


def attack_and_confirm(
    step: AttackStep, model: AttackedModel, batch: Batch, threat_model: ThreatModel, seed: int
) -> Confirmed:
    """Attack one batch and confirm what comes back.

    An empty ball is not attacked. Global random state is afterwards as it was.
    """
    returned = batch.images
    if threat_model.eps > 0:
        with randomness(step_seed(seed, step.name, batch.index)):
            returned = _attack(step, model, batch, threat_model, seed)
    return confirm(
        model.classify, batch.images, returned, batch.labels, threat_model, bounded=step.bounded
    )


def _attack(
    step: AttackStep, model: AttackedModel, batch: Batch, threat_model: ThreatModel, seed: int
) -> Float[Tensor, "n c h w"]:
    """Return what the attack gives.

    Attack packages pass over images that they see misclassified. Where low precision or rounding
    alone makes it seem so, the attack runs on the plain network.
    """

    def attack(where: Tensor) -> Tensor:
        images, labels, index = batch.images[where], batch.labels[where], batch.index[where.cpu()]
        found = step.attack(
            model, images.contiguous(), labels, threat_model, seed=seed, index=index
        )
        return found.detach().to(images)

    seen = torch.ones_like(batch.labels, dtype=torch.bool)
    if not model.is_plain:
        with torch.no_grad():
            seen = classes_of(model(batch.images)) == batch.labels
    returned = batch.images.clone()
    if seen.any():
        returned[seen] = attack(seen)
    if not seen.all():
        with model.plain():
            returned[~seen] = attack(~seen)
    return returned
