"""Random numbers by counter: a function of what they are for, and of nothing that ran before."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_DOUBLES = 2.0**-53
_UNUSED_BITS = np.uint64(11)


@dataclass(frozen=True)
class Counter:
    """The numbers of one run and one purpose, by Philox.

    Numbers of a place, such as an example, an attempt and a step, are the same whatever is drawn
    at other places, and in which order.

    Source:
        Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3"; numpy's generator, of
        which numpy promises the stream.

    >>> numbers = Counter(0, "apgd-ce")
    >>> bool((numbers.uniform(7, 0, 0, n=3)[:2] == numbers.uniform(7, 0, 0, n=2)).all())
    True
    """

    seed: int
    purpose: str

    @cached_property
    def _key(self) -> list[int]:
        digest = hashlib.sha256(f"{self.seed}:{self.purpose}".encode()).digest()
        return [int.from_bytes(digest[start : start + 8], "big") for start in (0, 8)]

    def uniform(self, example: int, attempt: int, block: int, *, n: int) -> Float[Tensor, " n"]:
        """Return ``n`` doubles in [0, 1).

        Args:
            example: Its index in the whole data set.
            attempt: The restart or target.
            block: Tells several draws for one attempt apart, such as by the step.
            n: How many.
        """
        place = [0, block, attempt, example]
        raw = np.random.Philox(key=self._key, counter=place).random_raw(n)
        return torch.from_numpy((raw >> _UNUSED_BITS) * _DOUBLES)

    def normal(self, example: int, attempt: int, block: int, *, n: int) -> Float[Tensor, " n"]:
        """Return ``n`` doubles of the standard normal distribution, by Box and Muller."""
        pairs = (n + 1) // 2
        radius, angle = self.uniform(example, attempt, block, n=2 * pairs).reshape(2, pairs)
        length = (-2 * torch.log1p(-radius)).sqrt()
        turn = 2 * math.pi * angle
        return torch.stack([length * turn.cos(), length * turn.sin()]).flatten()[:n]
