"""The adversarial images of shards, which lie beside their progress until all are joined."""

import io
import logging
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clbench.evaluation.parts import Part, images_of
from clbench.schema.errors import RecordError
from clbench.schema.files import DAMAGED_NPZ, seal, unseal, write_atomically
from clbench.schema.shard import named

log = logging.getLogger(__name__)


def write_images(part: Part, adversarial: Float[Tensor, "m c h w"]) -> None:
    """Keep the adversarial images of a finished shard, in the order of its examples.

    Raises:
        StorageError: The file cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, adversarial.numpy(), allow_pickle=False)
    write_atomically(images_of(part.path), seal(buffer.getvalue()))


def joined_images(parts: Sequence[Part], n: int) -> Float[Tensor, "n c h w"] | None:
    """Return the adversarial images of all shards of a run, None where not all have kept them.

    Args:
        parts: All shards of one cut.
        n: How many examples they have together.

    Raises:
        RecordError: Those of a shard are damaged.
    """
    without = [part.shard for part in parts if not images_of(part.path).is_file()]
    if without:
        if len(without) < len(parts):
            log.warning(
                "no adversarial images are kept: shards %s ran without --save-adversarial",
                named(without),
            )
        return None
    rows = [_read(part, len(range(part.shard.number, n, part.shard.of))) for part in parts]
    whole = torch.empty(n, *rows[0].shape[1:])
    for part, its in zip(parts, rows, strict=True):
        whole[part.shard.number :: part.shard.of] = its
    return whole


def _read(part: Part, n: int) -> Float[Tensor, "m c h w"]:
    path = images_of(part.path)
    try:
        found = np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False)
        many, _, _, _ = found.shape
        if many != n:
            raise ValueError(f"{many} images of {n} examples")
    except DAMAGED_NPZ as error:
        raise RecordError(
            f"the images of shard {part.shard} in {path} are damaged; run it again with "
            "--save-adversarial"
        ) from error
    return torch.from_numpy(found)
