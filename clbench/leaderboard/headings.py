"""What rows that are ranked or compared together agree in, in words; nothing here loads pandas."""

from collections import Counter
from collections.abc import Sequence

from clbench.schema.group import Group
from clbench.schema.records import EvaluationRecord

HASH_PREFIX = "h:"
"""Before the hash of an attack: 53e700426816 alone is a number to whoever reads the file."""


def headings(firsts: Sequence[EvaluationRecord]) -> list[str]:
    """Return in words what the records of each group agree in, each group told from all others.

    Args:
        firsts: A record of each group.
    """
    plain = [
        f"{of.data.n} images of {of.data.name}, {of.setting}"
        + (", upper bounds" if of.is_upper_bound else "")
        for of in firsts
    ]
    alike = Counter(plain)
    return [
        heading + (f" ({_told_apart(of.group)})" if alike[heading] > 1 else "")
        for heading, of in zip(plain, firsts, strict=True)
    ]


def _told_apart(group: Group) -> str:
    return f"{HASH_PREFIX}{group.attack_hash}, images {group.data_sha256[:8]}"
