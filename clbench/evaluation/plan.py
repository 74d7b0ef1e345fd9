"""What an evaluation will cost, and how much its number will say, before it is paid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clbench.attacks.rows import Passes
from clbench.schema.estimate import Estimate, proportion

SIZES = (100, 500, 1000, 10_000)
"""Numbers of examples whose intervals are told beside that of the examples at hand."""


@dataclass(frozen=True)
class Look:
    """What a short attack left of the first ``n`` examples: ``right`` ones, and ``standing`` ones.

    ``steps`` says how many it made.
    """

    n: int
    right: int
    standing: int
    steps: int


@dataclass(frozen=True)
class Pace:
    """How quick a component is here.

    Attributes:
        name: Of the component.
        passes: Of an image that it does not break, at most, or about so many where they are
            ``guessed``.
        steps: How many steps that takes; 1 where the component cannot be left within.
        seconds: Of a step of ``images`` images side by side, which takes as long for fewer.
        looks_ahead: Whether fewer images make several steps in that time instead.
    """

    name: str
    passes: Passes
    guessed: bool
    steps: int
    seconds: float
    images: float
    looks_ahead: bool = False

    def cost(self, standing: float, fallen: float = 0.0, *, steps: int = 0) -> "Cost":
        """Return what it costs to attack images.

        Args:
            standing: How many it does not break.
            fallen: How many it breaks.
            steps: After about so many.
        """
        part = min(steps, self.steps) / self.steps if self.steps > 1 else 1.0
        images = standing + part * fallen
        tiles = images / self.images
        return Cost(
            self.name,
            math.ceil(self.passes.forward * images),
            math.ceil(self.passes.backward * images),
            (tiles if self.looks_ahead else math.ceil(tiles)) * self.steps * self.seconds,
        )


@dataclass(frozen=True)
class Cost:
    """Passes of single images, and seconds."""

    name: str
    forward: int
    backward: int
    seconds: float


@dataclass(frozen=True)
class Memory:
    """Bytes: of the ``images``, as they are and attacked; the ``weights``; a ``batch`` at work."""

    images: int
    weights: int
    batch: int

    @property
    def total(self) -> int:
        """All of it; torch itself comes on top."""
        return self.images + self.weights + self.batch


@dataclass(frozen=True)
class Plan:
    """What an evaluation would cost.

    ``most`` is what each component costs where every image is right and stands every attack,
    ``about`` what it costs where as many stand as in a ``look`` at the first ones. ``intervals``
    are those of the robust accuracy of that look, by the number of examples.
    """

    model: str
    dataset: str
    n: int
    attack: str
    backend: str
    threat_model: str
    device: str
    precision: str
    batch_size: int
    guessed: tuple[str, ...]
    look: Look
    most: tuple[Cost, ...]
    about: tuple[Cost, ...]
    memory: Memory
    intervals: tuple[Estimate, ...]


def at_most(paces: Sequence[Pace], n: int) -> tuple[Cost, ...]:
    """Return what components cost where none of the images breaks."""
    return tuple(pace.cost(float(n)) for pace in paces)


def about(paces: Sequence[Pace], n: int, look: Look) -> tuple[Cost, ...]:
    """Return what they cost where the images fare as those of the look do.

    What breaks is broken by the first component, and soon; the others attack what stands.
    """
    standing, fallen = (n * count / look.n for count in (look.standing, look.right - look.standing))
    return tuple(
        pace.cost(standing, 0.0 if number else fallen, steps=look.steps)
        for number, pace in enumerate(paces)
    )


def total(costs: Sequence[Cost]) -> Cost:
    """Return what components cost together."""
    return Cost(
        "all",
        sum(one.forward for one in costs),
        sum(one.backward for one in costs),
        math.fsum(one.seconds for one in costs),
    )


def intervals(share: float, n: int) -> tuple[Estimate, ...]:
    """Return a robust accuracy with the intervals that it will have, by the number of examples.

    >>> [(one.n, round(one.high - one.low, 3)) for one in intervals(0.5, 1000)]
    [(100, 0.192), (500, 0.087), (1000, 0.062), (10000, 0.02)]
    """
    return tuple(
        proportion("robust_acc", round(share * size), size) for size in sorted({*SIZES, n})
    )
