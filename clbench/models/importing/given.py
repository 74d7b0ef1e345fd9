"""What a user says of a checkpoint by hand."""

from collections.abc import Sequence
from math import isfinite

from clbench.models.checkpoints.dialect import Normalisation
from clbench.models.checkpoints.translate import Branch
from clbench.models.importing.readings import PADDINGS, Given
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.text import shown

_BRANCH_NAMES: dict[str, Branch] = {"clean": "clean", "adv": "adv"}

Numbers = Sequence[float] | str
"""A number for each channel, as text with commas between them too."""


def read_given(mean: Numbers | None, std: Numbers | None, stem_padding: int | None) -> Given:
    """Return what was said, checked.

    Raises:
        BadValueError: One of mean and std was left out, they are no numbers, or of other channels.

    >>> str(read_given("0.5", "0.25", None).normalisation)
    'mean 0.5 std 0.25'
    """
    if (mean is None) != (std is None):
        missing = "std" if std is None else "mean"
        raise BadValueError(f"give --mean and --std together, got no {missing}")
    if stem_padding is not None and stem_padding not in PADDINGS:
        raise BadValueError(f"stem padding must be 1 or 2, got {shown(stem_padding)}")
    if mean is None or std is None:
        return Given(None, stem_padding)
    found = Normalisation(_numbers("mean", mean), _numbers("std", std))
    if len(found.mean) != len(found.std) or min(found.std) <= 0:
        raise BadValueError(
            f"std must be above 0, one number for each of the mean's, got mean {shown(mean)} and "
            f"std {shown(std)}"
        )
    return Given(found, stem_padding)


def read_branch(text: str | None) -> Branch | None:
    """Return a branch of batch norms.

    Raises:
        UnknownNameError: There is no such branch.
    """
    return None if text is None else look_up(_BRANCH_NAMES, text, "branch of batch norms")


def _numbers(what: str, given: Numbers) -> tuple[float, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise BadValueError(_wanted(what, given)) from error
    if not found or not all(map(isfinite, found)):
        raise BadValueError(_wanted(what, given))
    return found


def _wanted(what: str, given: object) -> str:
    return f"{what} must be a number per channel, such as 0.485,0.456,0.406, got {shown(given)}"
