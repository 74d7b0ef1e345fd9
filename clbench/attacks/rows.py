"""What there is to know of an attack before it runs: rows of tables, which load no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.names import NormName

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


BACKWARD = 2
"""A backward pass costs about so many forward passes."""


class Passes(NamedTuple):
    """Passes of one image through a network."""

    forward: float
    backward: float = 0.0

    @property
    def cost(self) -> float:
        """What they cost, in forward passes."""
        return float(self.forward + BACKWARD * self.backward)


class Fit(NamedTuple):
    """Whether an attack can run on images of a shape, and how well.

    ``reason`` says why it cannot, "" where it can; ``flags`` are those that it raises there.
    """

    reason: str = ""
    flags: tuple[str, ...] = ()


def fits_all(_norm: NormName, _shape: Shape) -> Fit:
    """Say that an attack runs on images of every shape."""
    return Fit()


UNKNOWN = Passes(1.0)
"""Stands for what nobody has counted."""


def unknown_cost(_parameters: Mapping[str, Parameter], _n_classes: int) -> Passes:
    """Return that nobody has counted them."""
    return UNKNOWN


@dataclass(frozen=True, kw_only=True)
class ComponentRow:
    """An attack that can be a component: what it covers, its options, its effective parameters.

    ``bounded`` is False for attacks that look for the smallest perturbation and may leave the ball;
    what they return outside of it is no success, and no defect either. ``black_box`` is True for
    attacks that use no gradients. ``cost`` is how many passes a surviving image takes at most,
    whoever runs it, or a guess where it ``is_guessed``; it foretells costs and the time to go.
    ``fit`` says whether it can run on images of a shape. ``options`` and ``parameters`` are called
    only when the attack is used, so that listing the names imports no attack package.
    """

    name: str
    about: str
    norms: tuple[NormName, ...]
    options: Callable[[], Mapping[str, Option]] = dict
    parameters: Callable[[NormName, int, Mapping[str, Parameter]], Mapping[str, Parameter]]
    """From the norm, the number of classes and the values that were given."""
    cost: Callable[[Mapping[str, Parameter], int], Passes] = unknown_cost
    is_guessed: bool = False
    least_classes: int = 2
    fit: Callable[[NormName, Shape], Fit] = fits_all
    bounded: bool = True
    black_box: bool = False


@dataclass(frozen=True, kw_only=True)
class CascadeRow:
    """Several components under one name, with what each has other than its own defaults.

    ``flags`` are those that every run of it raises.
    """

    name: str
    about: str
    components: Mapping[NormName, tuple[tuple[str, Mapping[str, Parameter]], ...]]
    """By norm; the same components in every one."""
    flags: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the components."""
        return [name for name, _ in next(iter(self.components.values()))]
