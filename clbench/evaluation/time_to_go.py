"""How much an evaluation has still to do, learnt from what its component has met so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EARLY = 0.1
"""The share of its steps after which an example that breaks mostly is broken."""


@dataclass(frozen=True)
class Met:
    """How the examples of the component at work fared, in examples.

    ``begun`` are under attack just now, and ``done`` is what was done of them, in the cost of an
    example that survives. ``waiting`` have not begun. Where broken examples ``leave`` at once, they
    cost little, and examples are attacked in a tile of one size, with ``room`` for so many; 0 where
    room that is empty costs nothing.
    """

    survived: int
    broken: int
    begun: int
    waiting: int
    done: float
    room: int
    leave: bool

    @property
    def standing(self) -> float:
        """Return the share of examples that survive, 1 where nothing is known yet.

        Those under attack count as survivors: what breaks leaves early, and is hardly among them.
        """
        seen = self.survived + self.begun + self.broken
        return (self.survived + self.begun) / seen if self.leave and seen else self._of_decided

    @property
    def _of_decided(self) -> float:
        decided = self.survived + self.broken
        return self.survived / decided if decided else 1.0

    def here(self) -> float:
        """Return what is left of the component, in the cost of an example that survives."""
        share = self.standing
        each = share + (1 - share) * (_EARLY if self.leave else 1.0)
        begun, waiting = max(self.begun - self.done, 0.0), self.waiting * each
        if not (self.leave and self.begun and self.room):
            return begun + waiting
        # a tile costs as much where some places are empty, and the last ones mostly are
        return self.room * (begun / self.begun + math.ceil(waiting / self.room))

    def survivors(self) -> float:
        """Return how many examples the components after it will have to attack."""
        begun = 1.0 if self.leave else self.standing
        return self.survived + self.begun * begun + self.waiting * self.standing


@dataclass(frozen=True)
class Speed:
    """Cost that was paid, in seconds: by the component at work, and by all."""

    cost: float
    seconds: float
    cost_of_all: float
    seconds_of_all: float

    def of_all(self) -> float | None:
        """Return the seconds of a unit of cost, None while nothing is known."""
        return self.seconds_of_all / self.cost_of_all if self.cost_of_all else None

    def of_component(self, least: float) -> float | None:
        """Return those of the component at work, once it has paid so much; else of all."""
        return self.seconds / self.cost if self.cost > least else self.of_all()


def time_to_go(met: Met, speed: Speed, cost: float, later: Sequence[float]) -> float | None:
    """Return the seconds to go, None while nothing is known.

    Args:
        met: How examples fared in the component at work.
        speed: How quick passes are.
        cost: Of an example that survives that component, in passes.
        later: Of one that survives each component after it.
    """
    here, others = speed.of_component(cost), speed.of_all()
    if here is None or others is None:
        return None
    return here * met.here() * cost + others * met.survivors() * math.fsum(later)
