"""Ranges of a recipe's numbers: what lies outside is a slip of the hand, not a setting."""

from clbench.schema.errors import BadValueError

Number = int | float

MOST_EPOCHS = 100_000
MOST_STEPS = 10_000


def check_limits(what: str, row: object, **limits: tuple[Number, Number]) -> None:
    """Check that fields of a row lie in their ranges, given as the least and the most by name.

    Raises:
        BadValueError: One does not; the message names it as a field of ``what``.
    """
    for name, (least, most) in limits.items():
        value = getattr(row, name)
        if value < least:
            raise BadValueError(f"{name} of {what} must be at least {least}, got {value!r}")
        if value > most:
            raise BadValueError(f"{name} of {what} must be at most {most}, got {value!r}")
