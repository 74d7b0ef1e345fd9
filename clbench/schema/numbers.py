"""Numbers as users type them: plain digits in a range, or a line that says the range."""

import math
import re
from contextlib import suppress
from operator import index

from clbench.schema.errors import BadValueError
from clbench.schema.text import shown

LARGEST = 2**63 - 1
"""Whole numbers in files and options have at most 64 bits, as they have in other languages."""

LARGEST_COUNT = 2**31 - 1
"""Of steps, restarts, images in a batch and the like."""

_DIGITS = re.compile(r"-?[0-9]{1,19}")
"""ASCII only: ``int`` also takes digits of other scripts, underscores, spaces, and any length."""


def whole(name: str, value: object, least: int, most: int, *, words: str = "") -> int:
    """Return the whole number that ``value`` is, or writes in plain digits.

    Args:
        name: How the message calls it, such as ``--seed``.
        value: What was given.
        least: The smallest allowed.
        most: The largest allowed.
        words: What else would be right, such as ``'auto' or ``.

    Raises:
        BadValueError: It is no such number, or outside of the range, which the message says.

    >>> whole("--seed", "12", 0, 99)
    12
    """
    number = None
    if not isinstance(value, bool | str):
        with suppress(TypeError):
            number = index(value)  # type: ignore[arg-type] # numpy's whole numbers, too
    elif isinstance(value, str) and _DIGITS.fullmatch(value):
        number = int(value)
    if number is None or not least <= number <= most:
        upper = "up" if most == LARGEST else f"to {most}"
        raise BadValueError(
            f"{name} must be {words}a whole number from {least} {upper}, got {shown(value)}"
        )
    return number


_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20}")


def share(name: str, value: object) -> float:
    """Return the share from 0 to 1 that ``value`` is, or writes as a decimal.

    Raises:
        BadValueError: It is none; a percentage is asked about.

    >>> share("--robust-acc", "0.584")
    0.584
    """
    text = repr(value) if isinstance(value, float) else str(value)
    is_number = _DECIMAL.fullmatch(text) or isinstance(value, float)
    number = float(text) if is_number else math.nan
    if 0 <= number <= 1:
        return number
    hint = f"; did you mean {number / 100:.6g}?" if 1 < number <= 100 else ""  # noqa: PLR2004 - percent
    raise BadValueError(f"{name} must be a share from 0 to 1, got {shown(value)}{hint}")


AUTO = "auto"


def read_batch_size(wanted: int | str | None) -> int | None:
    """Return how many images to attack at once; None, or "auto", leaves it open.

    Raises:
        BadValueError: It is no number, or below 1.
    """
    if wanted is None or wanted == AUTO:
        return None
    return whole("--batch-size", wanted, 1, LARGEST_COUNT, words=f"'{AUTO}' or ")
