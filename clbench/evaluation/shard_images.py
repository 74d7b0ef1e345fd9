"""The images of shards that attacks found, which lie beside their progress until all are joined."""

import io
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.evaluation.certificates import Certificates, joined
from clbench.evaluation.parts import Part, images_of
from clbench.schema.errors import RecordError
from clbench.schema.files import DAMAGED_NPZ, seal, unseal, write_atomically
from clbench.schema.shard import named

log = logging.getLogger(__name__)

T = TypeVar("T")

_ADVERSARIAL = "adversarial"
_IMAGE_AXES = 4

_OPTIONS = {"adversarial images": "--save-adversarial", "certificates": "the same --evidence"}
"""What makes a shard keep something."""


class ShardImages(NamedTuple):
    """What a shard, or all together, kept: adversarial images, and certificates; None where not."""

    adversarial: Float[Tensor, "m c h w"] | None = None
    certificates: Certificates | None = None

    @property
    def kind(self) -> str:
        """Which certificates these are."""
        return "" if self.certificates is None else self.certificates.kind


def write_images(part: Part, images: ShardImages) -> None:
    """Keep the images of a finished shard, in the order of its examples.

    Raises:
        StorageError: The file cannot be written.
    """
    arrays: dict[str, Any] = {}
    if images.certificates is not None:
        arrays |= images.certificates.arrays()
    if images.adversarial is not None:
        arrays[_ADVERSARIAL] = images.adversarial.numpy()
    if arrays:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_atomically(images_of(part.path), seal(buffer.getvalue()))


def joined_images(parts: Sequence[Part], identity: str, index: Int[Tensor, " n"]) -> ShardImages:
    """Return what all shards of a run kept, joined; nothing of a kind that not all have kept.

    Args:
        parts: All shards of one cut.
        identity: The hash of the run.
        index: Of all their examples, in the order of the data set.

    Raises:
        RecordError: Those of a shard are damaged.
    """
    n = len(index)
    places = [slice(part.shard.number, n, part.shard.of) for part in parts]
    kept = [_read(part, len(range(n)[where])) for part, where in zip(parts, places, strict=True)]
    images = _of_all(parts, [one.adversarial for one in kept], "adversarial images")
    kinds = Counter(one.certificates.kind for one in kept if one.certificates is not None)
    usual = max(kinds, key=kinds.__getitem__, default="")
    alike = [one.certificates if one.kind == usual else None for one in kept]
    certificates = _of_all(parts, alike, "certificates")
    whole, proved = None, None
    if images:
        whole = torch.empty(n, *images[0].shape[1:])
        for where, some in zip(places, images, strict=True):
            whole[where] = some
    if certificates:
        proved = joined(list(zip(places, certificates, strict=True)), identity, index.numpy())
    return ShardImages(whole, proved)


def _of_all(parts: Sequence[Part], kept: Sequence[T | None], what: str) -> list[T]:
    """Return what every shard has kept, nothing where one has not; say which, where others have."""
    there = [one for one in kept if one is not None]
    if not there or len(there) == len(parts):
        return there
    without = [part.shard for part, one in zip(parts, kept, strict=True) if one is None]
    log.warning("no %s are kept: shards %s ran without %s", what, named(without), _OPTIONS[what])
    return []


def _read(part: Part, n: int) -> ShardImages:
    path = images_of(part.path)
    if not path.is_file():
        return ShardImages()
    try:
        with np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        images, certificates = arrays.pop(_ADVERSARIAL, None), Certificates.of_arrays(arrays, n)
        if images is not None and (images.ndim, len(images)) != (_IMAGE_AXES, n):
            raise ValueError(f"{len(images)} images of {n} examples")
    except DAMAGED_NPZ as error:
        raise RecordError(
            f"the images of shard {part.shard} in {path} are damaged; run it again with "
            "--save-adversarial"
        ) from error
    return ShardImages(None if images is None else torch.from_numpy(images), certificates)
