"""The threat model: which perturbations an attacker may use."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import SupportsFloat

from clbench.schema.errors import BadValueError
from clbench.schema.names import NORM_NAMES, NormName, spelled
from clbench.schema.text import shown

_NUMBER = r"[0-9]{1,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40}"
_MEANT = {
    **dict.fromkeys(("inf", "infinity", "linfty", "l_inf", "l-inf", "max", "l∞"), "Linf"),
    **dict.fromkeys(("2", "l_2", "euclidean"), "L2"),
    **dict.fromkeys(("1", "l_1"), "L1"),
}
"""What others call the norms."""

_EPS = re.compile(rf"\s*(-?(?:{_NUMBER}))\s*(?:/\s*({_NUMBER})\s*)?")

_MOST_BITS = 256
"""Of numerator and denominator: a longer eps could not even be printed."""

_ROUNDED = Fraction(3, 10**7)
"""The share by which a number in single precision may differ from what it was computed from."""

_LARGEST_DENOMINATOR = 100
"""Of fractions that somebody may have meant, other than those of 255."""

PIXEL_STEP = 255
"""8-bit images have this many steps from black to white; the field writes eps in such steps."""

TOLERANCES: dict[NormName, float] = {"Linf": 1e-6, "L2": 1e-5, "L1": 1e-4}
"""How far outside of the ball rounding to float32 may put an image; L1 sums thousands of pixels."""

PIXEL_TOLERANCE = 1e-6
"""How far outside of [0, 1] a pixel may be."""

USUAL_EPS: dict[NormName, str] = {"Linf": "8/255", "L2": "1/2", "L1": "12"}
"""What the field takes for CIFAR-10, as an example for whoever gave none."""


@dataclass(frozen=True)
class ThreatModel:
    """Perturbations of at most ``eps`` in ``norm``, cut to the pixel range [0, 1].

    ``eps`` is in units of the pixel range and exact; it becomes a float only where an attack is
    called.

    Raises:
        BadValueError: No such norm, an eps that is not exact or negative, or an Linf eps above the
            pixel range.

    >>> str(ThreatModel("Linf", Fraction(8, 255)))
    'Linf 8/255'
    """

    norm: NormName
    eps: Fraction

    def __post_init__(self) -> None:
        parse_norm(self.norm)
        if not isinstance(self.eps, Fraction):
            raise BadValueError(f"eps must be exact, such as Fraction(8, 255), got {self.eps!r}")
        if max(abs(self.eps.numerator), self.eps.denominator).bit_length() > _MOST_BITS:
            raise BadValueError(f"eps must have at most 40 digits, got {shown(self.eps)}")
        if self.eps < 0:
            raise BadValueError(f"eps must not be negative, got {format_eps(self.eps)!r}")
        if self.norm == "Linf" and self.eps > 1:
            raise BadValueError(
                f"Linf eps must be at most 1, the pixel range, got {format_eps(self.eps)!r}; "
                f"did you mean '{format_eps(self.eps)}/{PIXEL_STEP}'?"
            )

    def __str__(self) -> str:
        return f"{self.norm} {format_eps(self.eps)}"


def parse_norm(text: str) -> NormName:
    """Return the norm that ``text`` names in capitals or not, in RobustBench's spelling.

    Raises:
        BadValueError: ``text`` is no norm that clbench measures.

    >>> parse_norm("linf")
    'Linf'
    """
    for norm in NORM_NAMES:
        if spelled(text, NORM_NAMES) == norm:
            return norm
    hint = f"; did you mean {_MEANT[text.lower()]!r}?" if text.lower() in _MEANT else ""
    raise BadValueError(f"norm must be one of {', '.join(NORM_NAMES)}, got {shown(text)}{hint}")


def parse_eps(text: str | Fraction) -> Fraction:
    """Return the exact number that ``text`` writes as a fraction or a decimal.

    Raises:
        BadValueError: ``text`` is neither; a float is none, as hardly one is a fraction of 255.

    >>> parse_eps("8/255"), parse_eps("0.5")
    (Fraction(8, 255), Fraction(1, 2))
    """
    if isinstance(text, Fraction):
        return text
    if not isinstance(text, str):
        raise BadValueError(
            f"eps must be a text such as '8/255', or a Fraction, which are exact as no float is, "
            f"got {shown(text)}{_meant(text)}"
        )
    match = _EPS.fullmatch(text)
    if match is None or (match[2] is not None and Fraction(match[2]) == 0):
        raise BadValueError(f"eps must read like '8/255' or '0.5', got {shown(text)}")
    return Fraction(match[1]) / Fraction(match[2] or 1)


def _meant(number: object) -> str:
    """Return a question for the eps that a number is most likely meant to be, "" for none."""
    if isinstance(number, bool) or not isinstance(number, SupportsFloat):
        return ""
    try:
        value = float(number)
    except (OverflowError, ValueError):
        return ""
    if value.is_integer() and 0 < value < PIXEL_STEP:
        return f"; did you mean '{value:.0f}/{PIXEL_STEP}', or in L2 and L1 '{value:.0f}'?"
    if not 0 <= value < 1:
        return ""
    steps, small = Fraction(round(value * PIXEL_STEP), PIXEL_STEP), Fraction(value)
    choices = (steps, small.limit_denominator(_LARGEST_DENOMINATOR))
    near = [one for one in choices if abs(one - small) <= _ROUNDED * small]
    return f"; did you mean {format_eps(near[0])!r}?" if near else ""


def format_eps(eps: Fraction) -> str:
    """Return ``eps`` as the field writes it: whole pixel steps over 255 where small, else reduced.

    >>> format_eps(Fraction(3, 255)), format_eps(Fraction(1, 2))
    ('3/255', '1/2')
    """
    steps = eps * PIXEL_STEP
    if steps.denominator == 1 and 0 < steps <= PIXEL_STEP // 8:
        return f"{steps}/{PIXEL_STEP}"
    return str(eps)
