"""What examples that were drawn by chance say about all of them; nothing here loads torch."""

import hashlib
from math import comb

from clbench.schema.files import sha256_of

DRAWN = 299
"""Examples that show a share of 1 % with a probability of 95 %."""

_SIGNIFICANCE = 0.05
_SEED_DIGITS = 8


def draw(digest: str, nonce: str, index: list[int], n: int) -> list[int]:
    """Return ``n`` of some examples, in rising order, or all where there are no more.

    Whoever made the evidence fixed its ``digest`` before anybody knew the ``nonce``; whoever chose
    the nonce cannot choose the examples either.

    >>> draw("d", "nonce", [3, 5, 8], 2)
    [3, 5]
    """

    def key(example: int) -> str:
        return sha256_of(f"{digest} {nonce} {example}".encode())

    return sorted(sorted(index, key=key)[:n])


def seed_of(digest: str, nonce: str) -> int:
    """Return the seed of an auditor's attack, which nobody knew before either."""
    found = hashlib.sha256(f"{digest} {nonce} seed".encode()).hexdigest()
    return int(found[:_SEED_DIGITS], 16)


def at_most(broken: int, drawn: int, of: int) -> int:
    """Return the one-sided 95 % upper bound of how many of ``of`` examples are breakable.

    The bound of Clopper and Pearson for a draw without replacement: the largest number with which
    so few ``broken`` among ``drawn`` ones are still seen with a probability over 5 %. It holds in
    at least 95 % of all draws, and is ``broken`` itself where all were drawn.

    >>> at_most(0, 299, 10_000), at_most(0, 50, 50)
    (98, 0)
    """
    low, high = broken, of - (drawn - broken)
    while low < high:
        middle = (low + high + 1) // 2
        if _as_few(broken, drawn, middle, of) > _SIGNIFICANCE:
            low = middle
        else:
            high = middle - 1
    return low


def at_least(broken: int, drawn: int, of: int) -> int:
    """Return the one-sided 95 % lower bound of the same.

    >>> at_least(7, 299, 10_000), at_least(0, 299, 10_000)
    (112, 0)
    """
    return of - at_most(drawn - broken, drawn, of)


def _as_few(broken: int, drawn: int, breakable: int, of: int) -> float:
    """Return how likely at most so many broken ones are drawn, of so many breakable ones."""
    ways = sum(comb(breakable, k) * comb(of - breakable, drawn - k) for k in range(broken + 1))
    return ways / comb(of, drawn)
