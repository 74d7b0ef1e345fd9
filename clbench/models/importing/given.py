"""What a user says of a checkpoint by hand."""

from clbench.models.checkpoints.dialect import Normalisation
from clbench.models.checkpoints.translate import Branch
from clbench.models.importing.readings import PADDINGS, Given
from clbench.models.preprocessing import Numbers, read_normalisation
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.text import shown

_BRANCH_NAMES: dict[str, Branch] = {"clean": "clean", "adv": "adv"}


def read_given(mean: Numbers | None, std: Numbers | None, stem_padding: int | None) -> Given:
    """Return what was said, checked.

    Raises:
        BadValueError: One of mean and std was left out, they are no numbers, or of other channels.

    >>> str(read_given("0.5", "0.25", None).normalisation)
    'mean 0.5 std 0.25'
    """
    if stem_padding is not None and stem_padding not in PADDINGS:
        raise BadValueError(f"stem padding must be 1 or 2, got {shown(stem_padding)}")
    means, deviations = read_normalisation(mean, std)
    return Given(Normalisation(means, deviations) if means else None, stem_padding)


def read_branch(text: str | None) -> Branch | None:
    """Return a branch of batch norms.

    Raises:
        UnknownNameError: There is no such branch.
    """
    return None if text is None else look_up(_BRANCH_NAMES, text, "branch of batch norms")
