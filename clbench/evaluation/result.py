"""What an evaluation found, example by example, and the numbers that follow from it."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackPlan
from clbench.evaluation.reliability import SQUARE_MARGIN, is_unreliable
from clbench.evaluation.state import CLEAN, ROBUST, Cascade
from clbench.schema.estimate import Estimate, proportion

BY_NOTHING, BY_CLEAN = "", "clean"


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found, example by example in the order of the data.

    ``broken_by`` is the name of the first attack that broke an example, "clean" where the clean
    image is misclassified, "" where it stayed robust. ``adversarial`` is the image that broke it,
    else the clean image, and ``adv_pred`` what the network says of that. Passes count images.
    """

    attacks: tuple[str, ...]
    clean_pred: Int[Tensor, " n"]
    adv_pred: Int[Tensor, " n"]
    broken_by: list[str]
    adversarial: Float[Tensor, "n c h w"]
    forward_passes: int
    backward_passes: int
    seconds: float
    batch_size: int
    flags: tuple[str, ...]

    @property
    def clean_acc(self) -> Estimate:
        """The share of clean images that are classified correctly."""
        return self._share_left("clean_acc", 0)

    @property
    def robust_acc(self) -> Estimate:
        """The share of all examples that are right on the clean image and under every attack."""
        return self._share_left("robust_acc", len(self.attacks))

    @property
    def accuracy_left(self) -> dict[str, Estimate]:
        """The robust accuracy after each attack of the cascade, by the attack's name."""
        return {
            name: self._share_left(f"acc_after_{name}", done)
            for done, name in enumerate(self.attacks, start=1)
        }

    @property
    def measures(self) -> tuple[Estimate, ...]:
        """Clean and robust accuracy, then the accuracy left after each attack."""
        return (self.clean_acc, self.robust_acc, *self.accuracy_left.values())

    @property
    def unreliable(self) -> bool:
        """Whether a flag says that the robust accuracy cannot be trusted."""
        return is_unreliable(self.flags)

    def _share_left(self, name: str, attacks_done: int) -> Estimate:
        lost = {BY_CLEAN, *self.attacks[:attacks_done]}
        n = len(self.broken_by)
        return proportion(name, sum(one not in lost for one in self.broken_by), n)


def outcome_of(plan: AttackPlan, cascade: Cascade) -> Outcome:
    """Return what a finished cascade found."""
    names = {ROBUST: BY_NOTHING, CLEAN: BY_CLEAN} | dict(
        enumerate(step.name for step in plan.steps)
    )
    flags = cascade.flags | ({"square_improves"} if _square_improves(plan, cascade) else set())
    return Outcome(
        attacks=tuple(step.name for step in plan.steps),
        clean_pred=cascade.clean_pred,
        adv_pred=cascade.adv_pred,
        broken_by=[names[number] for number in cascade.broken_by.tolist()],
        adversarial=cascade.adversarial,
        forward_passes=cascade.forward_passes,
        backward_passes=cascade.backward_passes,
        seconds=cascade.seconds,
        batch_size=cascade.batch_size,
        flags=tuple(sorted(flags)),
    )


def _square_improves(plan: AttackPlan, cascade: Cascade) -> bool:
    """Say whether a step without gradients broke notably more than those with, before it."""
    seen_white = False
    for number, step in enumerate(plan.steps):
        share = (cascade.broken_by == number).double().mean()
        if step.black_box and seen_white and share > SQUARE_MARGIN:
            return True
        seen_white = seen_white or not step.black_box
    return False
