"""Training recipes as data."""

from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any, Literal

from clbench.errors import BadValueError
from clbench.names import Scenario, Scheme, look_up
from clbench.threat import format_eps
from clbench.train.adversary import Adversary
from clbench.train.losses import LOSSES, Loss
from clbench.train.views import NO_VIEWS, Views

Criterion = Literal["clean_acc", "robust_acc"]

CRITERION: dict[Scenario, Criterion] = {
    "st": "clean_acc",
    "at": "robust_acc",
    "partial_at": "robust_acc",
    "full_at": "robust_acc",
}
"""Which validation accuracy chooses between the epochs of a phase that has a classifier."""


@dataclass(frozen=True)
class Optimizer:
    """How weights follow the gradient; ``lr`` rises for ``warmup_epochs``, then falls as a cosine.

    ``momentum`` is for ``sgd``, where it is Nesterov's; ``adamw`` has its own and ignores it.
    """

    name: Literal["sgd", "adamw"]
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        _at_least("optimizer", self, warmup_epochs=0, weight_decay=0, momentum=0)
        if self.lr <= 0:
            raise BadValueError(f"lr of an optimizer must be above 0, got {self.lr!r}")


@dataclass(frozen=True)
class Phase:
    """One run of an optimizer over the training images.

    ``trains`` says what changes: ``everything``, or the ``classifier`` alone on a frozen backbone.
    ``projection`` is the width of the projector's output, for losses that look at one. Without
    an ``adversary`` the phase is standard training. Every ``validate_every`` epochs, and after
    the last, a network with a classifier is validated, and the best of these is kept.
    """

    loss: str
    trains: Literal["everything", "classifier"]
    epochs: int
    batch_size: int
    optimizer: Optimizer
    views: Views = NO_VIEWS
    adversary: Adversary | None = None
    temperature: float = 0.5
    projection: int = 64
    validate_every: int = 5

    def __post_init__(self) -> None:
        look_up(LOSSES, self.loss, "loss")
        _at_least("phase", self, epochs=1, batch_size=2, projection=1, validate_every=1)
        if self.temperature <= 0:
            raise BadValueError(f"temperature of a phase must be above 0, got {self.temperature!r}")
        if self.objective.projected and self.trains != "everything":
            raise BadValueError(
                f"loss {self.loss!r} needs trains = 'everything', got {self.trains!r}"
            )

    @property
    def objective(self) -> Loss:
        """The row of ``LOSSES``."""
        return LOSSES[self.loss]

    @property
    def passes_per_image(self) -> int:
        """Forward and backward passes that an image costs in an epoch, but for validation."""
        return self.objective.views * (1 + (self.adversary.steps if self.adversary else 0))


@dataclass(frozen=True)
class Validation:
    """The attack on validation images that chooses between epochs: PGD, Linf."""

    eps: Fraction
    steps: int

    def __post_init__(self) -> None:
        _at_least("validation", self, steps=1)


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of one model, but for its training images.

    ``finetuning`` is None where pretraining has a classifier already.
    """

    scheme: Scheme
    scenario: Scenario
    dataset: str
    backbone: str
    seed: int
    validation: Validation
    pretraining: Phase
    finetuning: Phase | None

    @property
    def name(self) -> str:
        """The name of the model, such as ``simclr_at``."""
        return f"{self.scheme}_{self.scenario}"

    @property
    def full_name(self) -> str:
        """The name with the data set as its tag, such as ``simclr_at.digits``."""
        return f"{self.name}.{self.dataset}"

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in their order, by name."""
        both = {"pretraining": self.pretraining, "finetuning": self.finetuning}
        return {name: phase for name, phase in both.items() if phase is not None}

    @property
    def criterion(self) -> Criterion:
        """Which validation accuracy chooses between epochs."""
        return CRITERION[self.scenario]


def to_table(value: Any) -> Any:  # noqa: ANN401 - any part of a recipe
    """Return a recipe or a part of it as plain tables, numbers and text; None is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        rows = {field.name: getattr(value, field.name) for field in fields(value)}
        return {key: to_table(row) for key, row in rows.items() if row is not None}
    return format_eps(value) if isinstance(value, Fraction) else value


def _at_least(what: str, row: object, **least: int) -> None:
    for name, bound in least.items():
        if getattr(row, name) < bound:
            raise BadValueError(
                f"{name} of {what} must be at least {bound}, got {getattr(row, name)!r}"
            )
