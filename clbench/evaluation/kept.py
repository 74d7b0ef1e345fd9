"""The adversarial images of a run: where they are wanted, they are on a disk."""

import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.evaluation.confirm import Confirmed
from clbench.evaluation.state import EvaluationState
from clbench.runtime.on_disk import RowFile

_AT_ONCE = 16


class KeptImages:
    """A file with a row for each image of a data set, in which those are that broke an example.

    It lies beside the progress and is written before that is saved, which knows the checksum of
    each row: after a kill, no row counts that is not what it was. All shards of a run have one
    file, in which each writes rows of its own. Without a path it has no name, and goes with the
    process.

    Raises:
        StorageError: The file cannot be made or written.
    """

    def __init__(self, whole: ImageSet, images: ImageSet, path: Path | None) -> None:
        self._row_of = {index: row for row, index in enumerate(whole.index.tolist())}
        self._images, self._n = images, len(whole)
        of = (whole.images.shape[1:], "float32")
        self._rows = RowFile.temporary(*of) if path is None else RowFile.at(path, *of)
        self._rows.reserve(self._n)

    def take(self, state: EvaluationState, where: Int[Tensor, " b"], confirmed: Confirmed) -> None:
        """Keep the images that broke examples at some of these places of the state."""
        broken = confirmed.broken.cpu()
        hit, adversarial = where[broken], confirmed.adversarial.cpu()[broken]
        self._rows.write(self._rows_of(state, hit), adversarial.numpy())
        state.image_sums[hit] = _sums(adversarial)

    def sync(self) -> None:
        """Return when all that was taken is on the disk."""
        self._rows.sync()

    def missing(self, state: EvaluationState) -> Int[Tensor, " m"]:
        """Return where examples are that a state knows as broken, and whose image is not here."""
        absent: list[int] = []
        for where in torch.split((state.broken_by >= 0).nonzero()[:, 0], _AT_ONCE):
            found = torch.from_numpy(self._rows.read(self._rows_of(state, where)))
            absent += where[_sums(found) != state.image_sums[where]].tolist()
        return torch.tensor(absent, dtype=torch.int64)

    def at(
        self, state: EvaluationState, where: Int[Tensor, " b"]
    ) -> Float32[np.ndarray, "b c h w"]:
        """Return the images that broke the examples at some places."""
        return self._rows.read(self._rows_of(state, where))

    def all(self, state: EvaluationState) -> Float32[Tensor, "n c h w"]:
        """Return the image that broke each example, else the clean one; its memory is the file."""
        for where in torch.split((state.broken_by < 0).nonzero()[:, 0], _AT_ONCE):
            clean = self._images.images[where].numpy()
            self._rows.write(self._rows_of(state, where), clean)
        found = torch.from_numpy(self._rows.mapped(self._n))
        rows = self._rows_of(state, torch.arange(len(state.index)))
        return found if rows == list(range(self._n)) else found[rows]

    def _rows_of(self, state: EvaluationState, where: Int[Tensor, " m"]) -> list[int]:
        return [self._row_of[index] for index in state.index[where].tolist()]


def _sums(images: Float[Tensor, "m c h w"]) -> Int[Tensor, " m"]:
    sums = [zlib.crc32(one.contiguous().numpy().data) for one in images]
    return torch.tensor(sums, dtype=torch.int64)
