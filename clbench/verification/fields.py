"""What the fields of a record can be, whatever happened: ranges, spellings, hashes and dates."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from clbench.attacks.grammar import BACKEND_NAMES
from clbench.schema.corruptions import CORRUPTED
from clbench.schema.dataclass_io import to_table
from clbench.schema.names import PRECISIONS, SCENARIOS, SCHEMES
from clbench.schema.numbers import LARGEST, LARGEST_COUNT
from clbench.schema.protocol import CUSTOM, LARGEST_SEED, SUFFIX, protocols
from clbench.schema.records import LOG_PROBABILITIES, EvaluationRecord
from clbench.schema.text import shown, visible
from clbench.schema.threat_model import format_eps, parse_eps, parse_norm
from clbench.verification.findings import FILES, Problem, Stored, is_of_this_version

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(-dirty)?")
_VERSION = re.compile(r"[0-9]+[0-9A-Za-z.+!_-]*")
_TIME = "%Y-%m-%dT%H:%M:%SZ"

_BACKENDS = {*BACKEND_NAMES} - {"auto"}

_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this there was no clbench."""

_CLOCKS = timedelta(days=1)
"""By so much clocks may differ."""

_NAMED_AFTER_FILES = ("model.name", "model.source", "model.files", "data.name", "attack.")
"""Where names of a user's files stand, which may be any; they are shown so that all can be seen."""

_NAME_IN = "a name in "

_LONGEST_RUN = 10**10
"""Seconds: some 300 years."""


_Row = tuple[str, bool, object, str]
"""A field, whether it is as it has to be, what it is, and what it has to be."""


class Rule(NamedTuple):
    """A field, by its place in the record, what it has to be, and how that is seen."""

    field: str
    expected: str
    holds: Callable[[Any], bool]


def _within(field: str, least: int, most: int) -> Rule:
    return Rule(field, f"from {least:,} to {most:,}", lambda value: least <= value <= most)


def _one_of(field: str, known: tuple[str, ...]) -> Rule:
    words = ", ".join(one or "''" for one in known)
    return Rule(field, f"one of {words}", lambda value: value in known)


def _matches(field: str, pattern: re.Pattern[str], expected: str, *, or_empty: bool) -> Rule:
    return Rule(
        field,
        f"{expected}, or ''" if or_empty else expected,
        lambda value: bool(pattern.fullmatch(value)) or (or_empty and not value),
    )


_hash = partial(_matches, pattern=_SHA256, expected="64 hexadecimal digits in small letters")


def _is_time(text: str) -> bool:
    try:
        when = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return text == when.strftime(_TIME) and _FIRST <= when <= datetime.now(UTC) + _CLOCKS


def _are_files(files: Mapping[str, str]) -> bool:
    return all(_is_below(path) and _SHA256.fullmatch(of) for path, of in files.items())


def _is_below(path: str) -> bool:
    place = PurePosixPath(path)
    return str(place) == path != "." and not place.is_absolute() and ".." not in place.parts


def _are_backends(text: str) -> bool:
    names = text.split("+")
    return set(names) <= _BACKENDS and len(set(names)) == len(names)


def _are_versions(versions: Mapping[str, str]) -> bool:
    numbers = all(not one or _VERSION.fullmatch(one) for one in versions.values())
    return bool(versions.get("clbench")) and numbers


RULES: tuple[Rule, ...] = (
    Rule("model.name", "a name", bool),
    _one_of("model.scheme", ("", *SCHEMES)),
    _one_of("model.scenario", ("", *SCENARIOS)),
    _hash("model.weights_sha256", or_empty=False),
    _hash("model.recipe_sha256", or_empty=True),
    _hash("model.file_sha256", or_empty=False),
    Rule("model.files", "paths below a folder, each with a sha256", _are_files),
    _within("model.training_seed", 0, LARGEST),
    Rule("model.output", "the name or the index of an entry", bool),
    _one_of("model.answers", (LOG_PROBABILITIES,)),
    Rule("data.name", "a name", bool),
    _within("data.n", 1, LARGEST),
    _hash("data.sha256", or_empty=False),
    Rule("attack.backend", f"of {', '.join(sorted(_BACKENDS))}, with + between", _are_backends),
    _within("seed", 0, LARGEST_SEED),
    _within("wall_s", 0, _LONGEST_RUN),
    Rule("device", "the name of a device", bool),
    _one_of("precision", PRECISIONS),
    Rule("versions", "that of clbench, and numbers for all", _are_versions),
    _matches("commit", _COMMIT, "a hash of git, with -dirty or without", or_empty=True),
    Rule("created", f"a time in UTC such as {_FIRST.strftime(_TIME)}, since then", _is_time),
    _hash("evidence_sha256", or_empty=True),
    _hash("external.certificate_sha256", or_empty=True),
)
"""What holds of every record. A field that is None is left out."""

_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "threat_model.norm": parse_norm,
    "threat_model.eps": lambda eps: format_eps(parse_eps(eps)),
}
"""Fields in which one thing could be written in many ways, and the way that it is written in."""


def of_fields(stored: Stored) -> Iterator[Problem]:
    """Yield fields of a record that no run could have written."""
    for rows in (_texts_of, _by_rules, _by_spelling, _by_others):
        for field, holds, found, expected in rows(stored.record):
            if not holds:
                yield Problem(FILES, stored.path, field, shown(found), expected)


def _texts_of(record: EvaluationRecord) -> Iterator[_Row]:
    for field, text in _texts(to_table(record), ""):
        of_user = field.removeprefix(_NAME_IN).startswith(_NAMED_AFTER_FILES)
        yield field, of_user or visible(text) == text, text, "text in which all can be seen"


def _by_rules(record: EvaluationRecord) -> Iterator[_Row]:
    for rule in RULES:
        value = _value(record, rule.field)
        yield rule.field, value is None or rule.holds(value), value, rule.expected


def _by_spelling(record: EvaluationRecord) -> Iterator[_Row]:
    for field, canonical in _SPELLINGS.items():
        value = _value(record, field)
        wanted = value if value is None else canonical(value)
        yield field, value == wanted, value, repr(wanted)


def _by_others(record: EvaluationRecord) -> Iterator[_Row]:
    """Yield fields that depend on others."""
    least = 1 if record.attack else 0  # where nothing is attacked there are no tiles
    size, name = record.batch_size, record.protocol
    yield "batch_size", least <= size <= LARGEST_COUNT, size, f"from {least} to {LARGEST_COUNT:,}"
    names = (*protocols(), CUSTOM, *(one.protocol for one in CORRUPTED.values()))
    known = name in names or name.endswith(SUFFIX) or not is_of_this_version(record)
    yield "protocol", known, name, f"one of {', '.join(names)}, or the name of a {SUFFIX} file"


def _value(record: EvaluationRecord, field: str) -> Any:  # noqa: ANN401 - of any field
    """Return a field, None where what it is a part of is None."""
    part, _, _ = field.partition(".")
    return None if getattr(record, part) is None else attrgetter(field)(record)


def _texts(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a table with its place, the names of fields, too."""
    match value:
        case str():
            yield place, value
        case dict():
            for key, one in value.items():
                yield f"{_NAME_IN}{place}" if place else "a name", key
                yield from _texts(one, f"{place}.{key}" if place else key)
        case list():
            for number, one in enumerate(value):
                yield from _texts(one, f"{place}[{number}]")
        case _:  # a number, or none
            pass
