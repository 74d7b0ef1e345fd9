"""Every success is checked and confirmed by the plain network."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.attacks.norms import is_inside
from clbench.evaluation.attacked_model import Victim, classes_of
from clbench.runtime.seeding import randomness, step_seed
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class Batch:
    """Examples under attack; ``index`` is their place in the data set, on the CPU."""

    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    index: Int[Tensor, " n"]


@dataclass(frozen=True)
class Attempt:
    """What one attack did to one batch.

    ``adversarial`` is what the attack returned, or the clean image where that was invalid;
    ``broken`` says where it is valid and the plain network is wrong about it.
    """

    adversarial: Float[Tensor, "n c h w"]
    predicted: Int[Tensor, " n"]
    broken: Bool[Tensor, " n"]
    flags: frozenset[str]


def attempt(
    step: AttackStep, victim: Victim, batch: Batch, threat_model: ThreatModel, seed: int
) -> Attempt:
    """Attack one batch, check what comes back, and ask the plain network in float32.

    Images that are not finite, outside of the ball or outside of the pixel range count as not
    broken and raise a flag (leaving the ball does not for attacks that are not ``bounded``).
    An empty ball is not attacked. Global random state is afterwards as it was.
    """
    images = batch.images
    if threat_model.eps == 0:
        returned = images
    else:
        with randomness(step_seed(seed, step.name, batch.index)):
            returned = _run(step, victim, batch, threat_model, seed)
    finite = returned.isfinite().flatten(1).all(dim=1)
    valid = finite & is_inside(returned, images, threat_model)
    adversarial = returned.where(valid[:, None, None, None], images)
    predicted = victim.classify(adversarial)
    found = {
        "nan_adversarial": not finite.all(),
        "out_of_bounds": step.bounded and bool((finite & ~valid).any()),
        "nan_logits": bool((predicted < 0).any()),
    }
    flags = frozenset(flag for flag, raised in found.items() if raised)
    return Attempt(adversarial, predicted, valid & (predicted != batch.labels), flags)


def _run(
    step: AttackStep, victim: Victim, batch: Batch, threat_model: ThreatModel, seed: int
) -> Float[Tensor, "n c h w"]:
    """Return what the attack gives.

    Attack packages pass over images that they see misclassified. Where low precision or rounding
    alone makes it seem so, the attack runs on the plain network.
    """

    def attack(where: Tensor) -> Tensor:
        images, labels, index = batch.images[where], batch.labels[where], batch.index[where.cpu()]
        found = step.attack(
            victim, images.contiguous(), labels, threat_model, seed=seed, index=index
        )
        return found.detach().to(images)

    seen = torch.ones_like(batch.labels, dtype=torch.bool)
    if not victim.is_plain:
        with torch.no_grad():
            seen = classes_of(victim(batch.images)) == batch.labels
    returned = batch.images.clone()
    if seen.any():
        returned[seen] = attack(seen)
    if not seen.all():
        with victim.plain():
            returned[~seen] = attack(~seen)
    return returned
