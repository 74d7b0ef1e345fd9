"""Damage as disks and copies do it, for tests that it is noticed."""

import random
from collections.abc import Iterator


def flipped(data: bytes, bit: int) -> bytes:
    """Return ``data`` with one bit the other way; bits count from 0, eight to a byte.

    >>> flipped(b"a", 1)
    b'c'
    """
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flips(data: bytes, n: int, *, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield ``n`` bits drawn evenly, each with ``data`` in which that bit is the other way."""
    chance = random.Random(seed)
    for bit in (chance.randrange(8 * len(data)) for _ in range(n)):
        yield bit, flipped(data, bit)


def cuts(data: bytes, n: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yield the first parts of ``data``, of ``n`` lengths drawn evenly."""
    chance = random.Random(seed)
    yield from (data[: chance.randrange(len(data))] for _ in range(n))
