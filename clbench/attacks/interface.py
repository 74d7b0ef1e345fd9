"""What an attack is, who runs it, and what a plan of attacks holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.schema.attack_spec import AttackSpec, Component, Option, Parameter
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

Granularity = Literal["example", "batch"]
"""Whose result it is: an example's, the same in any batch and order; or that of a whole batch."""


@runtime_checkable
class Attack(Protocol):
    """A function from images to adversarial images, the same for equal arguments.

    ``index`` says which examples of the data set these are; with ``seed``, the seed of the whole
    run, it decides every random number, so that a result does not depend on what ran before.
    An attack may return the clean image, or one outside of the ball, where it found nothing:
    the caller checks.
    """

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return images that ``model`` should no longer classify as ``labels``."""
        ...


Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


class Fit(NamedTuple):
    """Whether an attack can run on images of a shape, and how well.

    ``reason`` says why it cannot, "" where it can; ``flags`` are those that it raises there.
    """

    reason: str = ""
    flags: tuple[str, ...] = ()


def fits_all(_norm: NormName, _shape: Shape) -> Fit:
    """Say that an attack runs on images of every shape."""
    return Fit()


@dataclass(frozen=True, kw_only=True)
class ComponentRow:
    """An attack that can be a component: what it covers, its options, its effective parameters.

    ``bounded`` is False for attacks that look for the smallest perturbation and may leave the ball;
    what they return outside of it is no success, and no defect either. ``black_box`` is True for
    attacks that use no gradients. ``cost`` is roughly how many forward passes (a backward pass
    counts as two) a surviving image takes; it serves to foretell the time to go. ``fit`` says
    whether it can run on images of a shape. ``options`` and
    ``parameters`` are called only when the attack is used, so that listing the names imports no
    attack package.
    """

    name: str
    about: str
    norms: tuple[NormName, ...]
    options: Callable[[], Mapping[str, Option]] = dict
    parameters: Callable[[int, Mapping[str, Parameter]], Mapping[str, Parameter]]
    """From the number of classes and the values that were given."""
    cost: Callable[[Mapping[str, Parameter], int], float] = lambda _parameters, _n_classes: 1.0
    least_classes: int = 2
    fit: Callable[[NormName, Shape], Fit] = fits_all
    bounded: bool = True
    black_box: bool = False


@dataclass(frozen=True, kw_only=True)
class NativeAttack:
    """An attack that clbench runs itself: its row, and what makes it of effective parameters."""

    row: ComponentRow
    make: Callable[[Mapping[str, Parameter]], Attack]


@dataclass(frozen=True, kw_only=True)
class CascadeRow:
    """Several components under one name, with what each has other than its own defaults."""

    name: str
    about: str
    components: tuple[tuple[str, Mapping[str, Parameter]], ...]


@runtime_checkable
class Backend(Protocol):
    """Who runs components: clbench itself, or a package."""

    @property
    def name(self) -> str:
        """The name in records and in ``--backend``."""
        ...

    @property
    def granularity(self) -> Granularity:
        """Whose results it gives."""
        ...

    @property
    def distribution(self) -> str:
        """The distribution whose version a record names; "" where its hash is in the parameters."""
        ...

    def is_installed(self) -> bool:
        """Say whether it can be used here."""
        ...

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether it has this component in this norm."""
        ...

    def bind(self, component: Component) -> Attack:
        """Return the attack that a component stands for."""
        ...


@dataclass(frozen=True)
class AttackPlan:
    """An attack, and which backend runs each of its components."""

    spec: AttackSpec
    backends: tuple[str, ...]

    @property
    def backend(self) -> str:
        """The backends in one word, as records have it: each once, joined by a plus sign."""
        return "+".join(dict.fromkeys(self.backends))


@dataclass(frozen=True)
class AttackStep:
    """A component that is ready to run; ``bounded``, ``black_box`` and ``cost`` as in its row."""

    name: str
    attack: Attack
    bounded: bool = True
    black_box: bool = False
    cost: float = 1.0
