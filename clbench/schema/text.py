"""Text that others wrote, made fit for a line on a terminal, a table, or a spreadsheet."""

import unicodedata
from reprlib import Repr

LONGEST = 80
"""Longer texts are cut in messages."""

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what a reader cannot see: controls, directions, half characters, ..."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets read both
"""What a cell begins with that a spreadsheet would compute."""

_MOST_BITS = 10_000


class _Short(Repr):
    """Shows a part of what is long, also of a whole number, which Python refuses to print."""

    def repr_int(self, x: int, level: int) -> str:
        """Return the digits, or how many bits there are."""
        bits = x.bit_length()
        return f"a number of {bits} bits" if bits > _MOST_BITS else super().repr_int(x, level)


_REPR = _Short()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = LONGEST


def visible(text: str) -> str:
    r"""Return a text in one line in which every character can be seen and none does anything.

    Line ends, escape sequences of terminals, characters that turn the direction of writing and
    halves of characters stand as Python would write them.

    >>> visible("net\x1b[31m.py\n")
    'net\\x1b[31m.py\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if unicodedata.category(one) in _HIDDEN else one for one in text)


def no_formula(text: str) -> str:
    """Return a visible text that no spreadsheet takes for a formula.

    >>> no_formula("=1+1.py:make"), no_formula("simclr_at")
    ("'=1+1.py:make", 'simclr_at')
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def shown(value: object) -> str:
    """Return the repr of a value of any length and depth in a part of a line."""
    return _REPR.repr(value)


def cut(text: str) -> str:
    """Return a text, the first part of it where it is long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
