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
from clbench.evaluation.logit_scale import same_factor
from clbench.runtime.seeding import randomness, step_seed
from clbench.schema.threat_model import ThreatModel

Classify = Callable[[Float[Tensor, "n c h w"]], Int[Tensor, " n"]]
"""From images to the classes that the plain network gives in float32, -1 where it gives NaN."""


@dataclass(frozen=True)
class Batch:
    """Examples under attack; ``index`` is their place in the whole data set, on the CPU.

    ``log2_factors``, on the CPU, are the powers of two by which attacks see the logits of each
    times; see ``clbench.evaluation.logit_scale``.
    """

    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    log2_factors: Int[Tensor, " n"]

    @classmethod
    def at(
        cls,
        images: ImageSet,
        where: Int[Tensor, " b"],
        device: torch.device,
        log2_factors: Int[Tensor, " n"] | None = None,
    ) -> "Batch":
        """Return the examples at these places, on a device."""
        parts = images.images[where].to(device), images.labels[where].to(device)
        factors = torch.zeros_like(where) if log2_factors is None else log2_factors[where]
        return cls(*parts, images.index[where], factors)

    def take(self, where: Int[Tensor, " m"]) -> "Batch":
        """Return the examples at these places of the batch."""
        here = where.to(self.images.device)
        at, factors = self.index[where], self.log2_factors[where]
        return Batch(self.images[here].contiguous(), self.labels[here], at, factors)


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

    def only(self, where: Bool[Tensor, " n"]) -> "Confirmed":
        """Return what is said of some images; all flags stay."""
        parts = self.adversarial[where], self.predicted[where], self.broken[where]
        return Confirmed(*parts, self.flags)


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
        # files that switch gradients off are about inference, attacks need them
        with randomness(step_seed(seed, step.name, batch.index)), torch.enable_grad():
            returned = in_parts(
                lambda part: _attack(step, model, part, threat_model, seed), model, batch
            )
    return confirm(
        model.classify, batch.images, returned, batch.labels, threat_model, bounded=step.bounded
    )


def in_parts(
    attack: Callable[[Batch], Float[Tensor, "m c h w"]], model: AttackedModel, batch: Batch
) -> Float[Tensor, "n c h w"]:
    """Return what an attack gives; it sees together what it sees times the same factor."""
    returned = batch.images.clone()
    for factor, where in same_factor(batch.log2_factors):
        with model.times(factor):
            returned[where.to(returned.device)] = attack(batch.take(where))
    return returned


def _attack(
    step: AttackStep, model: AttackedModel, batch: Batch, threat_model: ThreatModel, seed: int
) -> Float[Tensor, "n c h w"]:
    """Return what the attack gives.

    Attack packages pass over images that they see misclassified. Where low precision or rounding
    alone makes it seem so, the attack runs on the plain network.
    """

    def attack(where: Int[Tensor, " m"]) -> Tensor:
        part = batch.take(where)
        found = step.attack(
            model, part.images, part.labels, threat_model, seed=seed, index=part.index
        )
        return found.detach().to(batch.images)

    everywhere = torch.arange(len(batch.index))
    if model.is_plain:
        return attack(everywhere)
    with torch.no_grad():
        seen = (classes_of(model(batch.images)) == batch.labels).cpu()
    returned = batch.images.clone()
    if seen.any():
        returned[seen.to(returned.device)] = attack(everywhere[seen])
    if not seen.all():
        with model.plain():
            returned[(~seen).to(returned.device)] = attack(everywhere[~seen])
    return returned
