"""Training recipes as data."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

from clbench.models import BACKBONES
from clbench.runtime.precision import AUTO
from clbench.schema.dataclass_io import checksum_of, to_table
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName, PrecisionChoice, Scenario, Scheme, look_up
from clbench.schema.threat_model import ThreatModel
from clbench.training.adversary import Adversary
from clbench.training.augmentation import NO_VIEWS, Views
from clbench.training.limits import MOST_EPOCHS, MOST_STEPS, check_limits
from clbench.training.losses import LOSSES, Loss, Weights
from clbench.training.scenario import Part, check_scenario

Criterion = Literal["clean_acc", "robust_acc"]

CRITERION: dict[Scenario, Criterion] = {
    "st": "clean_acc",
    "at": "robust_acc",
    "partial_at": "robust_acc",
    "full_at": "robust_acc",
}
"""Which validation accuracy chooses between the epochs of a phase that has a classifier."""

_LEAST_REACH = 0.1
"""With less, an adversary is one in name only."""

_LEAST_BETA = 0.01

_LARGEST_SEED = 2**32 - 1
"""numpy takes no larger one."""


@dataclass(frozen=True)
class Optimizer:
    """How weights follow the gradient.

    ``lr`` rises for ``warmup_epochs``, then falls as a cosine to 0, stays ``constant``, or falls by
    ``steps``: to a tenth after each of the ``milestones``, in epochs. ``momentum`` is for ``sgd``,
    where it is Nesterov's unless ``nesterov`` is false; the others have their own and ignore it.
    """

    name: Literal["sgd", "adam", "adamw"]
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    warmup_epochs: int = 0
    schedule: Literal["cosine", "constant", "steps"] = "cosine"
    milestones: tuple[int, ...] = ()
    nesterov: bool = True

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise BadValueError(f"lr of an optimizer must be above 0, got {self.lr!r}")
        if (self.schedule == "steps") is not bool(self.milestones):
            raise BadValueError(
                "milestones of an optimizer belong to schedule = 'steps', got "
                f"{list(self.milestones)} and {self.schedule!r}"
            )
        if list(self.milestones) != sorted({*self.milestones} - {0}):
            raise BadValueError(
                "milestones of an optimizer must be rising epochs from 1, got "
                f"{list(self.milestones)}"
            )
        check_limits(
            "optimizer",
            self,
            lr=(0, 100),
            warmup_epochs=(0, MOST_EPOCHS),
            weight_decay=(0, 1),
            momentum=(0, 0.9999),
        )


@dataclass(frozen=True)
class Phase:
    """One run of an optimizer over the training images.

    Attributes:
        loss: A row of ``LOSSES``.
        trains: What changes: ``everything``, or the ``classifier`` alone on a frozen backbone.
        epochs: How often all images are seen.
        batch_size: Images of a step, on all devices together.
        optimizer: How weights follow the gradient.
        views: How the loss sees an image.
        adversary: Without one, the phase is standard training.
        temperature: Of contrastive losses.
        beta: Of TRADES.
        projection: The width of the projector's output, for losses that look at one.
        labelled: The share of images whose labels are known, chosen class by class. A loss that
            needs no label has the others; one that does has all, each image without a label alone
            in its class. Without a ``labelled_loss`` only images with labels are used.
        labelled_loss: A second loss, on the images with labels; "" for none.
        keep: The weights kept of a phase with a classifier: of the ``best`` validated epoch, or of
            the ``last``.
        validate_every: Such a phase is validated every so many epochs, and after the last.
        unit_logits: Where logits have unit length: ``never``, as an ``attack`` of the training sees
            them, or ``always``. The paper's; cross-entropy on them cannot become small.
        separate_views: Every view is a forward pass of its own, with its own batch statistics.
        classifier_start: What a new classifier is before the first step: ``random``, or all
            ``zero``.
    """

    loss: str
    trains: Part
    epochs: int
    batch_size: int
    optimizer: Optimizer
    views: Views = NO_VIEWS
    adversary: Adversary | None = None
    temperature: float = 0.5
    beta: float = 6.0
    projection: int = 64
    labelled: float = 1.0
    labelled_loss: str = ""
    keep: Literal["best", "last"] = "best"
    validate_every: int = 5
    unit_logits: Literal["never", "attack", "always"] = "never"
    separate_views: bool = False
    classifier_start: Literal["random", "zero"] = "random"

    def __post_init__(self) -> None:
        for loss in self._losses:
            look_up(LOSSES, loss, "loss")
        if self.temperature <= 0:
            raise BadValueError(f"temperature of a phase must be above 0, got {self.temperature!r}")
        check_limits(
            "phase",
            self,
            epochs=(1, MOST_EPOCHS),
            batch_size=(2, 2**20),
            projection=(1, 2**16),
            validate_every=(1, MOST_EPOCHS),
            beta=(0, 1000),
            temperature=(0.001, 1000),
        )
        if not 0 < self.labelled <= 1:
            raise BadValueError(f"labelled of a phase must be in (0, 1], got {self.labelled!r}")
        if self.labelled == 1 and self.labelled_loss:
            raise BadValueError(
                f"labelled_loss {self.labelled_loss!r} needs images without labels; "
                "set labelled below 1"
            )
        if self.labelled_loss and not self.objective.projected:
            raise BadValueError(
                f"loss {self.loss!r} needs labels; beside labelled_loss = {self.labelled_loss!r} "
                "it must be a contrastive one"
            )
        if self.projected and self.trains != "everything":
            raise BadValueError(
                f"loss {self.loss!r} needs trains = 'everything', got {self.trains!r}"
            )
        self._check_adversary()

    def _check_adversary(self) -> None:
        anchored = any(row.anchored for row in self.losses)
        if self.adversary is None and anchored:
            raise BadValueError(f"loss {self.loss!r} needs an adversary, got none")
        if self.adversary and anchored and self.adversary.start == "zero":
            raise BadValueError(
                f"loss {self.loss!r} has no slope where its adversary starts, got start = 'zero'"
            )
        if anchored and self.beta < _LEAST_BETA:
            raise BadValueError(
                f"beta of loss {self.loss!r} must be at least {_LEAST_BETA:g}, got {self.beta!r}"
            )
        if self.adversary and self.adversary.reach < _LEAST_REACH:
            raise BadValueError(
                f"steps of an adversary must reach at least {_LEAST_REACH:g} of eps together, "
                f"got {self.adversary.reach:.2g}; raise steps or their size"
            )

    @property
    def objective(self) -> Loss:
        """The row of ``LOSSES``."""
        return LOSSES[self.loss]

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Both rows of ``LOSSES``, or the one that there is."""
        return tuple(LOSSES[name] for name in self._losses)

    @property
    def _losses(self) -> tuple[str, ...]:
        return tuple(name for name in (self.loss, self.labelled_loss) if name)

    @property
    def weights(self) -> Weights:
        """The numbers of the losses."""
        return Weights(self.temperature, self.beta)

    @property
    def projected(self) -> bool:
        """Whether a projector is trained."""
        return any(row.projected for row in self.losses)

    @property
    def classified(self) -> bool:
        """Whether a classifier is trained, so that there is something to validate."""
        return any(not row.projected for row in self.losses)

    @property
    def passes_per_image(self) -> int:
        """Forward and backward passes that an image costs in an epoch, but for validation."""
        views, adversary = self.objective.views, self.adversary
        if adversary is None:
            return views
        whole = adversary.target == "image"
        attacked = views if adversary.target == "views" else 1
        references = 1 + self.objective.projected if whole else self.objective.anchored * views
        return views + references + attacked * adversary.steps


@dataclass(frozen=True)
class Validation:
    """The attack on validation images that chooses between epochs: PGD.

    ``examples`` is how many of them are used, from the first; 0 for all.
    """

    eps: Fraction
    steps: int
    examples: int = 0
    norm: NormName = "Linf"

    def __post_init__(self) -> None:
        check_limits("validation", self, steps=(1, MOST_STEPS), examples=(0, math.inf))
        ThreatModel(self.norm, self.eps)  # checks the range

    @property
    def threat_model(self) -> ThreatModel:
        """Which perturbations the attack may use."""
        return ThreatModel(self.norm, self.eps)


def check_seed(seed: int) -> None:
    """Check that generators take a seed.

    Raises:
        BadValueError: They do not.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise BadValueError(f"seed must be from 0 to {_LARGEST_SEED}, got {seed}")


@runtime_checkable
class Trainable(Protocol):
    """What recipes of all kinds have."""

    @property
    def full_name(self) -> str:
        """How messages call what is trained."""
        ...

    @property
    def seed(self) -> int:
        """Of the training."""
        ...

    @property
    def validation(self) -> Validation:
        """The attack on validation images."""
        ...

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in their order, by name."""
        ...


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of one model, but for its training images.

    ``finetuning`` is None where pretraining has a classifier already. ``name`` is that of the
    model, such as ``simclr_at``. A ``precision`` that is left to the device, ``auto``, is settled
    before anything is trained; see ``clbench.training.precision``.
    """

    name: str
    scheme: Scheme
    scenario: Scenario
    dataset: str
    backbone: str
    seed: int
    validation: Validation
    pretraining: Phase
    finetuning: Phase | None = None
    precision: PrecisionChoice = "float32"

    def __post_init__(self) -> None:
        look_up(BACKBONES, self.backbone, "backbone")
        check_seed(self.seed)
        last = self.finetuning or self.pretraining
        if not last.classified:
            raise BadValueError(
                f"{self.full_name} needs a finetuning phase: pretraining with loss {last.loss!r} "
                "trains no classifier"
            )
        self._check_scheme()
        check_scenario(
            self.scenario,
            self.full_name,
            attacked=[name for name, phase in self.phases.items() if phase.adversary],
            finetuned=self.finetuning.trains if self.finetuning else None,
        )

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
    def sha256(self) -> str:
        """What tells this recipe from others, whatever its seed.

        Fields that have their default do not count either, so that a new field leaves all recipes
        that do not use it what they were.
        """
        assert self.precision != AUTO, "a recipe that is trained says its precision"
        return checksum_of(to_table(replace(self, seed=0), defaults=False))

    @property
    def criterion(self) -> Criterion:
        """Which validation accuracy chooses between epochs."""
        return CRITERION[self.scenario]

    def _check_scheme(self) -> None:
        """Check that the scheme is that of pretraining, so that no file says another."""
        phase = self.pretraining
        if phase.objective.scheme != self.scheme:
            raise BadValueError(
                f"scheme {self.scheme!r} of {self.full_name} is not that of pretraining with loss "
                f"{phase.loss!r}, which is {phase.objective.scheme!r}"
            )
        if phase.labelled_loss and self.name == f"{self.scheme}_{self.scenario}":
            raise BadValueError(
                f"{self.full_name} has one loss in pretraining, got labelled_loss = "
                f"{phase.labelled_loss!r} too; train a model of another name"
            )
