"""The attacked model as the steps of a pool attack ask it, one tile at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clbench.attacks.native.pool_attack import Answer, answer
from clbench.evaluation.attacked_model import AttackedModel


@dataclass(frozen=True)
class TileNetwork:
    """The network for the items of one tile, each with the factor of its logits.

    Passes are counted for the items that are more than filling.
    """

    model: AttackedModel
    factor: Float[Tensor, " n"]
    active: Bool[Tensor, " n"]

    @property
    def repeats_itself(self) -> bool:
        """Whether it gives an image the same answer again, in any place beside any others."""
        return self.model.repeats_itself

    def logits(self, points: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        with self._for_items(), torch.no_grad():
            found: Tensor = self.model(points)
        return found

    def gradient(
        self,
        points: Float[Tensor, "n c h w"],
        loss: Callable[[Float[Tensor, "n k"]], Float[Tensor, " n"]],
        *,
        times: int = 1,
    ) -> Answer:
        """Return logits and losses of the last pass, and the mean gradient of all."""
        with self._for_items():
            return answer(self.model, points, loss, times=times)

    @contextmanager
    def _for_items(self) -> Iterator[None]:
        with self.model.times(self.factor), self.model.counting(self.active):
            yield


def plain_logits(
    model: AttackedModel, images: Float[Tensor, "n c h w"], tile: int
) -> Float[Tensor, "n k"]:
    """Return the plain network's logits, which is asked about full tiles alone.

    The last tile is filled up with its first image, so that what is found for an image depends on
    no other one, and on the number of images neither. Filling is not counted.
    """
    found = []
    for part in torch.split(images, tile):
        filled = torch.cat([part, part[:1].expand(tile - len(part), -1, -1, -1)])
        with model.counting(torch.arange(tile) < len(part)):
            found.append(model.logits(filled)[: len(part)])
    return torch.cat(found)
