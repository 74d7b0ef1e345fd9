"""Keeps what is trained on apart from what is measured on."""

import logging

from clbench.data.image_set import ImageSet
from clbench.data.near_duplicates import copies
from clbench.schema.errors import DataError

_LOGGER = logging.getLogger(__name__)

_FEWEST = 2


def apart(
    train: ImageSet, others: ImageSet, what: str, *, own: bool = True
) -> tuple[ImageSet, list[str]]:
    """Return the training images that are not among ``others``, and notes, a line each.

    Of images of the user's own the notes are logged: a public data set is as it is.

    Args:
        train: What is trained on.
        others: What is measured on.
        what: How notes call these, such as ``validation images``.
        own: Whether ``train`` are a user's own: what is among the others, bit for bit, is left out
            then. Near duplicates stay.

    Raises:
        DataError: Hardly an image is left.
    """
    found = copies(train.images, others.images)
    exact, near = int(found.exact.sum()), int(found.near.sum())
    notes = []
    if exact:
        left_out = " and were left out" if own else ""
        notes.append(f"{exact} of {len(train)} training images are duplicates of {what}{left_out}")
    if near:
        notes.append(
            f"{near} of {len(train)} training images are near duplicates of {what}: "
            "accuracy on these is too high"
        )
    for note in notes if own else ():
        _LOGGER.warning(note)
    if not (own and exact):
        return train, notes
    if len(train) - exact < _FEWEST:
        raise DataError(
            f"{len(train) - exact} training images are left, as {exact} are duplicates of {what}; "
            "give others"
        )
    return train.select((~found.exact).nonzero().flatten()), notes
