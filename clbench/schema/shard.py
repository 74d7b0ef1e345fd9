"""A part of a run's examples, as it is typed and as it is counted."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from clbench.schema.errors import BadValueError
from clbench.schema.numbers import LARGEST_COUNT
from clbench.schema.text import shown

_TYPED = re.compile(r"([0-9]{1,10})/([0-9]{1,10})")
"""ASCII only, as in every number that is typed."""

_MOST_NAMED = 12


class Shard(NamedTuple):
    """Every ``of``-th example, from the one with this ``number`` on, which counts from 0.

    So easy and hard examples, which often lie together, are spread over all shards.

    >>> str(Shard(2, 16))
    '3/16'
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.of}"


def read_shard(wanted: str) -> Shard:
    """Return the shard that a text such as ``3/16`` names, counted from 1.

    Raises:
        BadValueError: It names none.
    """
    found = _TYPED.fullmatch(str(wanted))
    number, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= of <= LARGEST_COUNT:
        raise BadValueError(
            f"--shard must read like 3/16, the third of sixteen, got {shown(wanted)}"
        )
    return Shard(number - 1, of)


def named(shards: Sequence[Shard]) -> str:
    """Return the names of shards for one line; of very many the first.

    >>> named([Shard(0, 3), Shard(2, 3)])
    '1/3, 3/3'
    """
    names = ", ".join(map(str, shards[:_MOST_NAMED]))
    more = len(shards) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names
