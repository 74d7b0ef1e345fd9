"""The adversarial images of a run: where they are wanted, they are on a disk."""

import zlib
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from clbench.data.image_set import ImageSet
from clbench.evaluation.confirm import Confirmed
from clbench.evaluation.state import EvaluationState
from clbench.runtime.on_disk import RowFile

_AT_ONCE = 16


class KeptImages:
    """A file with a row for each of a run's images, in which those are that broke an example.

    It lies beside the progress and is written before that is saved, which knows the checksum of
    each row: after a kill, no row counts that is not what it was. Without a path it has no name,
    and goes with the process.

    Raises:
        StorageError: The file cannot be made or written.
    """

    def __init__(self, images: ImageSet, path: Path | None) -> None:
        self._images, size = images, images.images.shape[1:]
        of = (size, "float32")
        self._rows = RowFile.temporary(*of) if path is None else RowFile.at(path, *of)

    def take(self, state: EvaluationState, where: Int[Tensor, " b"], confirmed: Confirmed) -> None:
        """Keep the images that broke examples at some of these places of the state."""
        broken = confirmed.broken.cpu()
        hit, adversarial = where[broken], confirmed.adversarial.cpu()[broken]
        self._rows.write(hit.tolist(), adversarial.numpy())
        state.image_sums[hit] = _sums(adversarial)

    def sync(self) -> None:
        """Return when all that was taken is on the disk."""
        self._rows.sync()

    def has_all_of(self, state: EvaluationState) -> bool:
        """Say whether the image is here of every example that a state knows as broken."""
        place_of = {index: place for place, index in enumerate(self._images.index.tolist())}
        for rows in torch.split((state.broken_by >= 0).nonzero()[:, 0], _AT_ONCE):
            places = [place_of[index] for index in state.index[rows].tolist()]
            try:
                found = torch.from_numpy(self._rows.read(places))
            except EOFError:
                return False
            if not torch.equal(_sums(found), state.image_sums[rows]):
                return False
        return True

    def all(self, state: EvaluationState) -> Float32[Tensor, "n c h w"]:
        """Return the image that broke each example, else the clean one; its memory is the file."""
        for rows in torch.split((state.broken_by < 0).nonzero()[:, 0], _AT_ONCE):
            self._rows.write(rows.tolist(), self._images.images[rows].numpy())
        return torch.from_numpy(self._rows.mapped(len(state.index)))


def _sums(images: Float[Tensor, "m c h w"]) -> Int[Tensor, " m"]:
    sums = [zlib.crc32(one.contiguous().numpy().data) for one in images]
    return torch.tensor(sums, dtype=torch.int64)
