"""What an attack is as data: its components, their effective parameters, and a hash.

Also the options as users type them: ``steps=40,step_size=1/100``.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from clbench.schema.errors import BadValueError
from clbench.schema.files import sha256_of
from clbench.schema.names import NormName, unknown
from clbench.schema.numbers import LARGEST_COUNT, whole
from clbench.schema.text import shown

Parameter = int | float | str | bool
"""What an attack's parameter may be."""

HASH_DIGITS = 12
"""Of a sha256, in hexadecimal: as many as names of attacks and of runs bear."""

_NUMBER = re.compile(r"([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(e[+-]?[0-9]{1,3}|/[0-9]{1,40})?")
"""ASCII and of bearable length: an exponent of ten digits would fill the memory."""

_SPELLINGS = (
    ("steps", "n_iter"),
    ("step_size", "alpha"),
    ("restarts", "n_restarts"),
)
"""Options that attacks call differently: each is taken for the one that the attack has."""

_WORDS = {"true": True, "false": False}


TRANSFER = "transfer"
"""The component that asks about adversarial images of other runs, whose hashes it has."""


@dataclass(frozen=True)
class Component:
    """One attack of a cascade, with every effective parameter that it is run with.

    ``typed`` is how the user wrote the name, where that is a path on their machine, which neither
    the hash nor a record has.
    """

    name: str
    parameters: Mapping[str, Parameter]
    typed: str = field(default="", compare=False)

    @property
    def code(self) -> str:
        """Where the attack is found: what the user wrote, or its name."""
        return self.typed or self.name


@dataclass(frozen=True)
class AttackSpec:
    """An attack: each component attacks the images that those before it did not break.

    ``flags`` say what is to be known of the attack itself, such as components that the number of
    classes forbids.
    """

    name: str
    components: tuple[Component, ...]
    flags: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, dict[str, Parameter]]:
        """The effective parameters of every component, by its name."""
        return {one.name: dict(one.parameters) for one in self.components}

    @property
    def hash(self) -> str:
        """What tells this attack from every other one: 12 hexadecimal digits."""
        return attack_hash(self.name, self.parameters)


def attack_hash(name: str, parameters: Mapping[str, Mapping[str, Parameter]]) -> str:
    """Return the hash of an attack: of names and effective parameters, components in their order.

    It covers neither who runs the attack nor the threat model.

    >>> attack_hash("pgd", {"pgd": {"steps": 40, "restarts": 1}})
    '7dd65ff7449c'
    """
    components = [[component, dict(values)] for component, values in parameters.items()]
    text = json.dumps([name, components], sort_keys=True, separators=(",", ":"))
    return sha256_of(text.encode())[:HASH_DIGITS]


@dataclass(frozen=True)
class Option:
    """One option: its default, whose type is the option's, a word's choices, the least count.

    ``above_zero`` is of real numbers without which an attack would not move, such as a step size.
    ``norms`` are those in which it does something, all where there are none.
    """

    default: Parameter
    choices: tuple[str, ...] = ()
    least: int = 1
    above_zero: bool = False
    norms: tuple[NormName, ...] = ()


def read_options(
    attack: str, texts: Sequence[str], options: Mapping[str, Option]
) -> dict[str, Parameter]:
    """Return the values that ``texts`` such as ``"steps=40"`` give to ``options``.

    Counts are whole numbers from 1 up; other numbers may be fractions and are not negative, some
    not 0 either. What another attack calls differently, such as ``n_iter`` for ``steps``, may be
    called so here.

    Raises:
        UnknownNameError: An option that the attack does not have.
        BadValueError: No ``key=value``, a key given twice, or a value of the wrong type or range.

    >>> read_options("pgd", ["steps=40", "step_size=1/100"], {
    ...     "steps": Option(20), "step_size": Option(0.1)})
    {'steps': 40, 'step_size': 0.01}
    """
    values: dict[str, Parameter] = {}
    for text in texts:
        key, separator, value = (part.strip() for part in text.partition("="))
        if not separator:
            raise BadValueError(f"options of attack {attack!r} read like 'steps=40', got {text!r}")
        if not options:
            raise BadValueError(
                f"attack {attack!r} takes no options, got {text!r}; its parameters are fixed"
            )
        key = _as_spelled(key, options)
        if key not in options:
            raise unknown(key, options, f"option of attack {attack!r}")
        if key in values:
            raise BadValueError(f"option {key!r} of attack {attack!r} is given twice")
        values[key] = _read_value(attack, key, value, options[key])
    return values


def _as_spelled(key: str, options: Mapping[str, Option]) -> str:
    """Return the attack's own spelling of an option."""
    alike = [one for spellings in _SPELLINGS if key in spellings for one in spellings]
    return key if key in options else next((one for one in alike if one in options), key)


def _read_value(attack: str, key: str, text: str, option: Option) -> Parameter:
    value, wanted = read_value(text, option)
    if value is None:
        raise BadValueError(
            f"option {key!r} of attack {attack!r} must be {wanted}, got {shown(text)}"
        )
    return value


def read_value(text: str, option: Option) -> tuple[Parameter | None, str]:
    """Return the value of an option, None where ``text`` writes none, and what would be one.

    >>> read_value("40", Option(20)), read_value("4.0", Option(20))
    ((40, 'a count from 1 to 2147483647'), (None, 'a count from 1 to 2147483647'))
    """
    match option.default:
        case str():
            known = text if text in option.choices else None
            return known, f"one of {', '.join(option.choices)}"
        case bool():
            return _WORDS.get(text.lower()), "true or false"
        case int():
            return _count(text, option.least), f"a count from {option.least} to {LARGEST_COUNT}"
        case float():
            lowest = "above 0" if option.above_zero else "from 0 up"
            number = _number(text)
            usable = number or not option.above_zero
            return (number if usable else None), f"a number {lowest} such as '1/100' or '0.01'"


def _count(text: str, least: int) -> int | None:
    try:
        return whole("", text, least, LARGEST_COUNT)
    except BadValueError:
        return None


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        number = float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
