"""What a probe looks at: a network that was evaluated, and the images it was shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from clbench.attacks.interface import Attack
from clbench.data.image_set import ImageSet
from clbench.data.stored import Images
from clbench.schema.progress import OnProgress, not_shown
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Probed:
    """A network on ``device``, what it was shown, and how it was attacked.

    ``adversarial`` are the examples of ``clean`` in the same order. ``attacks`` are what a probe
    that makes adversarial images itself should make them by, one after the other. ``training`` are
    images to fit on and images to choose by, for probes that do; without them, such a probe has
    nothing but reasons.
    """

    network: nn.Module
    clean: ImageSet
    adversarial: Images
    device: torch.device
    threat_model: ThreatModel
    attacks: Sequence[Attack] = ()
    training: tuple[ImageSet, ImageSet] | None = None
    seed: int = 0
    on_progress: OnProgress = not_shown
