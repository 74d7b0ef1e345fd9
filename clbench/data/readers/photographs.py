"""Pictures of all sizes, as ImageNet has them: prepared as RobustBench does, unless of one size."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from clbench.data.readers.imagenet import PREPARED_AS, UNREADABLE, USUAL, Preprocessing, stored
from clbench.data.readers.pictures import Pictures
from clbench.data.stored import Images
from clbench.schema.errors import DataError

log = logging.getLogger(__name__)


def photographs(
    name: str, paths: Sequence[Path], where: Callable[[int], str], n_channels: int | None
) -> Images:
    """Return pictures as uint8 images; of many, they are decoded when they are asked for.

    Those of one size are taken as they are. Others are brought to the size that networks of
    ImageNet mostly see, which is said.

    Args:
        name: What they are called.
        paths: Their files.
        where: Says which one a number is of.
        n_channels: As for ``Pictures.images``; others are of colours.

    Raises:
        DataError: The head of one is unreadable; of a damaged one, when it is decoded.
    """
    if _are_of_one_size(paths):
        pictures = Pictures(
            name=name,
            n=len(paths),
            encoded=lambda number: paths[number].read_bytes(),
            where=where,
            leave_out="take it out",
        )
        return pictures.images(n_channels)
    log.warning("pictures of %s are of several sizes: %s", name, PREPARED_AS)
    return stored(paths, Preprocessing.of(USUAL))


def _are_of_one_size(paths: Sequence[Path]) -> bool:
    first = _size(paths[0])
    return all(_size(path) == first for path in paths[1:])


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except UNREADABLE as error:
        raise DataError(f"'{path}' holds no readable picture; unpack it again") from error
