"""The images that probes compare with the clean ones, and the attacks that make them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.attacks.interface import Attack
from clbench.attacks.native.pgd import PGD
from clbench.data.image_set import ImageSet
from clbench.data.stored import Beside, Images
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch, confirm, in_parts
from clbench.evaluation.logit_scale import log2_factors
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.devices import room_for
from clbench.runtime.tiles import choose_batch_size
from clbench.schema.threat_model import ThreatModel

PROBE_ATTACK = PGD(steps=40)
"""What makes the images that probes compare with the clean ones, for every model alike."""

_COMPARED = 8  # images that show whether a faster equal of a network is one

QUICK_ATTACK = PGD(steps=10)
"""What comes before it where only robust examples are attacked, to save time."""


def perturb(
    network: nn.Module,
    images: ImageSet,
    threat_model: ThreatModel,
    *,
    seed: int,
    batch_size: int | None,
    device: torch.device | str,
    attack: Attack = PROBE_ATTACK,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    folder: Path | None = None,
) -> Images:
    """Return all images moved as far as the threat model allows, for probes to look at.

    The same attack for every model, on all examples: also on those that it cannot break, and on
    those misclassified without it. So columns are comparable between models and no example is
    compared with itself. What an attack returns outside of the threat model is the clean image
    again. ``on_progress`` is told how many examples are done, and how many there are. They are kept
    as the clean ones are: in memory, or in a temporary file in ``folder``.

    Raises:
        ModelError: The device has no memory for a batch.
        StorageError: There is no room for that file.
    """
    device = torch.device(device)
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=seed):
        model, perturbed = AttackedModel(network), Beside(images.images, folder)
        model.speed_up(images.images[:_COMPARED].to(device), 0.0)
        size = batch_size or choose_batch_size(model, images.images[:1].to(device))

        def attacked(part: Batch) -> Float[Tensor, "m c h w"]:
            return attack(
                model, part.images, part.labels, threat_model, seed=seed, index=part.index
            )

        for where in torch.split(torch.arange(len(images)), size):
            with room_for(size, device):
                batch = Batch.at(images, where, device)
                factors = log2_factors(model, batch.images, batch.labels)
                batch = replace(batch, log2_factors=factors)
                found = in_parts(attacked, model, batch)
                confirmed = confirm(model.classify, batch.images, found, batch.labels, threat_model)
            perturbed.put(where, confirmed.adversarial.cpu())
            on_progress(int(where[-1]) + 1, len(images))
    return perturbed.images
