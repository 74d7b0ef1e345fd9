"""What an evaluation found, example by example, and the numbers that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.evaluation.certificates import Certificates
from clbench.evaluation.chance import is_at_chance
from clbench.evaluation.state import CLEAN, ROBUST, EvaluationState
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING, accuracies, improvements
from clbench.schema.estimate import Estimate
from clbench.schema.flags import AT_CHANCE, RaisedFlag, is_unreliable, merged, raised
from clbench.schema.records import left_after


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found, example by example in the order of the data.

    ``index`` is the place of each example in its data set. ``broken_by`` is the name of the first
    attack that broke an example, "clean" where the clean image is misclassified, "" where it stayed
    robust. ``adversarial`` is the image that broke it, else the clean image, None where these were
    not kept; ``adv_pred`` is what the network says of that. ``certificates`` are what of them the
    evidence keeps. ``logits`` are the network's for the first clean images. Passes count images.
    """

    attacks: tuple[str, ...]
    index: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    clean_pred: Int[Tensor, " n"]
    adv_pred: Int[Tensor, " n"]
    broken_by: list[str]
    adversarial: Float[Tensor, "n c h w"] | None
    logits: Float[Tensor, "m k"]
    forward_passes: int
    backward_passes: int
    seconds: float
    batch_size: int
    flags: tuple[RaisedFlag, ...]
    certificates: Certificates | None = None

    @property
    def flag_names(self) -> tuple[str, ...]:
        """What its flags are called."""
        return tuple(flag.name for flag in self.flags)

    @property
    def clean_acc(self) -> Estimate:
        """The share of clean images that are classified correctly."""
        return self.measures[0]

    @property
    def robust_acc(self) -> Estimate:
        """The share of all examples that are right on the clean image and under every attack."""
        return self.measures[1]

    @property
    def accuracy_left(self) -> dict[str, Estimate]:
        """The robust accuracy after each attack, by the attack's name."""
        by_name = {one.name: one for one in self.measures}
        return {attack: by_name[left_after(attack)] for attack in self.attacks}

    @property
    def measures(self) -> tuple[Estimate, ...]:
        """Clean and robust accuracy, then the accuracy left after each attack."""
        return accuracies(self.attacks, self.broken_by)

    @property
    def unreliable(self) -> bool:
        """Whether a flag says that the robust accuracy cannot be trusted."""
        return is_unreliable(self.flags)


def result_of(
    steps: Sequence[AttackStep],
    state: EvaluationState,
    batch_size: int,
    adversarial: Float[Tensor, "n c h w"] | None,
    certificates: Certificates | None,
) -> EvaluationResult:
    """Return what a finished evaluation found."""
    names, black_box = [step.name for step in steps], [step.black_box for step in steps]
    return result_of_state(
        *(names, black_box, state, batch_size), adversarial=adversarial, certificates=certificates
    )


def result_of_state(
    attacks: Sequence[str],
    black_box: Sequence[bool],
    state: EvaluationState,
    batch_size: int,
    *,
    adversarial: Float[Tensor, "n c h w"] | None = None,
    certificates: Certificates | None = None,
) -> EvaluationResult:
    """Return what a finished state holds; ``black_box`` says which attacks use no gradients."""
    names = {ROBUST: BY_NOTHING, CLEAN: BY_CLEAN} | dict(enumerate(attacks))
    broken_by = [names[number] for number in state.broken_by.tolist()]
    flags = [raised(name, value) for name, value in state.flags.items()]
    flags = [flag for flag in flags if flag.value is None or flag.value > (flag.threshold or 0)]
    flags += improvements(attacks, black_box, broken_by)
    if is_at_chance(state.clean_pred, state.labels, state.logits.shape[1]):
        flags.append(raised(AT_CHANCE))
    return EvaluationResult(
        attacks=tuple(attacks),
        index=state.index,
        labels=state.labels,
        clean_pred=state.clean_pred,
        adv_pred=state.adv_pred,
        broken_by=broken_by,
        adversarial=adversarial,
        logits=state.logits,
        forward_passes=state.forward_passes,
        backward_passes=state.backward_passes,
        seconds=state.seconds,
        batch_size=batch_size,
        flags=merged(sorted(flags, key=str)),
        certificates=certificates,
    )
