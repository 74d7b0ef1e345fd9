"""The time to go is near the truth from the tenth minute of a long run on."""

import math
import random
from typing import NamedTuple

import pytest

from clbench.evaluation.time_to_go import Met, Speed, time_to_go

TENTH_MINUTE = 600.0
WITHIN = 0.25
LAST = 0.025


class Component(NamedTuple):
    """A component: what a survivor costs, how quick its passes are, and what share it breaks.

    One that looks ahead leaves no place of a tile empty.
    """

    cost: float
    seconds: float
    breaks: float
    ahead: bool = False


class Sample(NamedTuple):
    at: float
    foretold: float


def standard(first, *, fab=1.0, square=1.0, second=0.02):
    """The cascade of four; ``first`` and ``second`` are the shares that the APGDs break."""
    return (
        Component(300, 1.0, first),
        Component(2700, 1.0, second),
        Component(3600, fab, 0.0),
        Component(5000, square, 0.002, ahead=True),
    )


def simulated(components, n, tile, *, leave, hours=5.0, seed=0):
    """The samples of a run, and how long it took; times are scaled to so many hours."""
    numbers = random.Random(seed)
    clock, paid, seconds, standing, samples = 0.0, 0.0, 0.0, n, []
    for number, (cost, pace, breaks, ahead) in enumerate(components):
        pads = leave and not ahead
        later = [one.cost for one in components[number + 1 :]]
        # the share of its steps after which an example breaks; most do in the first ones
        falls = [
            min(numbers.expovariate(1 / 0.05), 1.0) if numbers.random() < breaks else math.inf
            for _ in range(standing)
        ]
        before, begun_at, survived, broken, waiting = paid, seconds, 0, 0, list(falls)
        at_work = []
        while waiting or at_work:
            while waiting and len(at_work) < tile:
                at_work.append([waiting.pop(), 0.0])
            step = 0.02 if leave else 1.0
            spent = len(at_work) * step * cost
            padded = tile if pads else len(at_work)
            clock += padded * step * cost * pace
            seconds, paid = seconds + padded * step * cost * pace, paid + spent
            for one in at_work:
                one[1] += step
            fallen = [one for one in at_work if one[0] <= one[1]]
            done = [one for one in at_work if one[0] > one[1] and one[1] >= 1 - 1e-9]
            survived, broken = survived + len(done), broken + len(fallen)
            at_work = [one for one in at_work if one not in fallen and one not in done]
            met = Met(
                survived,
                broken,
                len(at_work),
                len(waiting),
                math.fsum(one[1] for one in at_work),
                tile if pads else 0,
                leave,
            )
            speed = Speed(paid - before, seconds - begun_at, paid, seconds)
            foretold = time_to_go(met, speed, float(cost), [float(one) for one in later])
            samples.append(Sample(clock, foretold))
        standing = survived
    scale = hours * 3600 / clock
    return [Sample(at * scale, foretold * scale) for at, foretold in samples], clock * scale


RUNS = {
    "a robust network": (standard(0.3), 1000, 16),
    "a very robust one": (standard(0.05), 1000, 16),
    "one that hardly stands": (standard(0.9), 1000, 16),
    "Square slower than its passes": (standard(0.4, square=1.25), 1000, 16),
    "FAB and Square slower": (standard(0.4, fab=1.2, square=1.2), 1000, 16),
    "Square quicker": (standard(0.4, square=0.85), 1000, 16),
    "large tiles": (standard(0.5), 1000, 128),
    "the second breaks many": (standard(0.3, second=0.15), 1000, 16),
    "one component": ((Component(300, 1.0, 0.6),), 1000, 16),
    "Square alone": ((Component(5000, 1.0, 0.3, ahead=True),), 1000, 16),
    "large tiles that look ahead": ((Component(5000, 1.0, 0.3, ahead=True),), 1000, 128),
    "many examples": (standard(0.5), 3000, 64),
    "few examples": (standard(0.4), 200, 16),
}


@pytest.mark.parametrize("leave", [True, False], ids=["pool", "package"])
@pytest.mark.parametrize("name", RUNS)
def test_from_the_tenth_minute_on_the_time_to_go_is_within_a_quarter(name, leave):
    samples, whole = simulated(*RUNS[name], leave=leave)
    late = [one for one in samples if TENTH_MINUTE <= one.at < whole - TENTH_MINUTE]
    assert len(late) > 3
    for one in late:
        left = whole - one.at
        # of the last examples, all at different steps, the mean tells little of the slowest
        near = pytest.approx(left, rel=WITHIN, abs=LAST * whole)
        assert one.foretold == near, (one.at / whole, left)
    assert samples[-1].foretold == pytest.approx(0.0)


def test_nothing_is_known_before_anything_was_paid():
    met = Met(0, 0, 0, 100, 0.0, 16, leave=True)
    assert time_to_go(met, Speed(0.0, 0.0, 0.0, 0.0), 300.0, []) is None


def test_a_component_that_only_began_is_judged_by_the_others():
    met = Met(0, 0, 10, 90, 0.0, 10, leave=False)
    slow_start = Speed(cost=1.0, seconds=100.0, cost_of_all=1000.0, seconds_of_all=1000.0)
    assert time_to_go(met, slow_start, 10.0, []) == pytest.approx(1000.0)
