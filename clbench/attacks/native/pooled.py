"""A pool attack as a function of one batch, for whoever has no pool."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.native.pool import Pool
from clbench.attacks.native.pool_attack import Answer, Ball, Example, PoolAttack, answer, targets_of
from clbench.schema.threat_model import ThreatModel


@dataclass(frozen=True)
class Pooled:
    """A pool attack under its name, which decides the random numbers."""

    name: str
    attack: PoolAttack

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return the first misclassified image met in each ball, or the clean one.

        An attack that can be called itself returns what it likes best instead.
        """
        if callable(self.attack):
            best: Tensor = self.attack(model, images, labels, threat_model, seed=seed, index=index)
            return best
        network, ball = DirectNetwork(model), Ball.of(threat_model, seed, self.name)
        aims = self.attack.n_target_classes > 0
        targets = targets_of(self.attack, network.logits(images), labels) if aims else None
        one = torch.ones(1, dtype=torch.float64, device=images.device)

        def supply(place: int) -> Example:
            here = slice(place, place + 1)
            return Example(
                clean=images[here].detach(),
                labels=labels[here],
                index=index[here],
                factor=one,
                targets=None if targets is None else targets[place],
            )

        found = images.detach().clone()
        pool = Pool(self.attack, ball, len(images), supply, range(len(images)))
        while not pool.is_finished:
            pool.advance(lambda _factor, _counted: network)
            if pool.parked:
                examples, points = pool.candidates()
                found[examples] = points
                pool.settle(torch.ones(len(examples), dtype=torch.bool))
        return found


@dataclass(frozen=True)
class DirectNetwork:
    """A network that is asked as it is; nobody knows whether it repeats itself."""

    model: nn.Module
    repeats_itself: bool = False

    def logits(self, points: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        with torch.no_grad():
            found: Tensor = self.model(points)
        return found

    def gradient(
        self,
        points: Float[Tensor, "n c h w"],
        loss: Callable[[Float[Tensor, "n k"]], Float[Tensor, " n"]],
        *,
        times: int = 1,
    ) -> Answer:
        """Return logits, losses and the mean gradient."""
        return answer(self.model, points, loss, times=times)
