"""What an attack is as data: its components, their effective parameters, and a hash.

Also the options as users type them: ``steps=40,step_size=1/100``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from clbench.schema.errors import BadValueError
from clbench.schema.files import sha256_of
from clbench.schema.names import unknown

Parameter = int | float | str | bool
"""What an attack's parameter may be."""

HASH_DIGITS = 12
"""Of a sha256, in hexadecimal: as many as names of attacks and of runs bear."""

_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Component:
    """One attack of a cascade, with every effective parameter that it is run with."""

    name: str
    parameters: Mapping[str, Parameter]


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
    """One option: its default, whose type is the option's, a word's choices, the least count."""

    default: Parameter
    choices: tuple[str, ...] = ()
    least: int = 1


def read_options(
    attack: str, texts: Sequence[str], options: Mapping[str, Option]
) -> dict[str, Parameter]:
    """Return the values that ``texts`` such as ``"steps=40"`` give to ``options``.

    Counts are whole numbers from 1 up; other numbers may be fractions and are not negative.

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
        if key not in options:
            raise unknown(key, options, f"option of attack {attack!r}")
        if key in values:
            raise BadValueError(f"option {key!r} of attack {attack!r} is given twice")
        values[key] = _read_value(attack, key, value, options[key])
    return values


def _read_value(attack: str, key: str, text: str, option: Option) -> Parameter:
    value, wanted = _convert(text, option)
    if value is None:
        raise BadValueError(f"option {key!r} of attack {attack!r} must be {wanted}, got {text!r}")
    return value


def _convert(text: str, option: Option) -> tuple[Parameter | None, str]:
    """Return the value, None where ``text`` is none, and what would be one."""
    match option.default:
        case str():
            known = text if text in option.choices else None
            return known, f"one of {', '.join(option.choices)}"
        case bool():
            return _WORDS.get(text.lower()), "true or false"
        case int():
            counts = text.isdecimal() and int(text) >= option.least
            return (int(text) if counts else None), f"a count from {option.least} up"
        case float():
            return _number(text), "a number from 0 up such as '1/100' or '0.01'"


def _number(text: str) -> float | None:
    try:
        number = float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if number >= 0 and math.isfinite(number) else None
