"""The laws of training losses, asserted on their values for outputs that are made up."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clbench.testing.law import Law, check, hold
from clbench.training.losses import Loss, Weights

Outputs = Float[Tensor, "views n d"]
Definition = Callable[[Tensor, Tensor, Weights], float]
"""A slow plain twin: outputs [views, n, d], labels [n] and coefficients give the value."""

_N, _CLASSES = 8, 4
_WEIGHTS = Weights(temperature=0.5, beta=2.0)
_STEP = 1e-2
_SMALL = 1e-6
_TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class LossCase:
    """A loss and what is declared of it.

    Attributes:
        name: What messages call it.
        loss: Its row: value, and whether it uses labels, a temperature, or clean views as anchors.
        definition: A slow plain twin.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    loss: Loss
    definition: Definition | None = None
    excused: Mapping[str, str] = field(default_factory=dict)

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared = {} if self.definition else {"equals_the_definition": "no definition was given"}
        return declared | dict(self.excused)

    @property
    def coefficients(self) -> set[str]:
        """The numbers that it depends on."""
        used = {"temperature": self.loss.projected, "beta": self.loss.anchored}
        return {name for name, uses in used.items() if uses}

    def value(
        self, outputs: Outputs, labels: Int[Tensor, " n"], weights: Weights = _WEIGHTS
    ) -> float:
        """Return the loss of outputs."""
        return float(self.loss.compute(outputs, labels, weights))

    def slope(self, outputs: Outputs, labels: Int[Tensor, " n"]) -> Outputs:
        """Return the gradient at the outputs; zero where there is none."""
        moving = outputs.clone().requires_grad_()
        loss = self.loss.compute(moving, labels, _WEIGHTS)
        if not loss.requires_grad:
            return torch.zeros_like(outputs)
        (slope,) = torch.autograd.grad(loss, moving, allow_unused=True, materialize_grads=True)
        return slope


def check_loss(
    loss: Loss,
    *,
    name: str = "the loss",
    definition: Definition | None = None,
    excused: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> None:
    """Assert that a training loss keeps the laws of ``LOSS_LAWS``.

    Args:
        loss: As a row of ``clbench.training.losses.LOSSES``.
        name: What messages call it.
        definition: A slow plain twin of outputs [views, n, d], labels [n] and coefficients; without
            it, ``equals_the_definition`` is left out.
        excused: Laws that it does not keep, each with the reason.
        only: Names of laws; all by default.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """
    case = LossCase(name=name, loss=loss, definition=definition, excused=excused or {})
    check(LOSS_LAWS, case, only)


_LABELS = torch.arange(_N) % _CLASSES
_OTHER_LABELS = torch.arange(_N) // (_N // _CLASSES)  # other examples are of one class


def _outputs(seed: int) -> Outputs:
    """Return two views of outputs that say nothing."""
    return torch.randn(2, _N, _N, generator=torch.Generator().manual_seed(seed))


def _right(case: LossCase) -> Outputs:
    """Return two views of outputs as they should be: alike exactly where labels are.

    Without labels every example is a class of its own.
    """
    classes = _LABELS if case.loss.labelled else torch.arange(_N)
    return 3 * functional.one_hot(classes, _N).float() + _outputs(0) / 10


def a_step_lowers_it(case: LossCase) -> None:
    """A small step against the gradient lowers the value, and both are numbers."""
    for seed in range(3):
        outputs = _outputs(seed)
        slope = case.slope(outputs, _LABELS)
        hold(bool(slope.isfinite().all()), "the gradient is not finite")
        before, after = (case.value(x, _LABELS) for x in (outputs, outputs - _STEP * slope))
        hold(after < before - _SMALL * _STEP, f"a step went from {before:.6g} to {after:.6g}")


def wrong_labels_cost_more(case: LossCase) -> None:
    """Outputs that fit the labels cost less than with others; without labels, so do own views."""
    right = _right(case)
    value = case.value(right, _LABELS)
    if case.loss.labelled:
        what, wrong = "labels", case.value(right, _OTHER_LABELS)
    else:
        what, wrong = "views", case.value(torch.stack([right[0], right[1].roll(1, 0)]), _LABELS)
        same = case.value(right, _OTHER_LABELS)
        hold(same == value, f"labels, which it does not use, move it from {value} to {same}")
    hold(wrong > value + _SMALL, f"with the right {what} {value:.6g}, with others {wrong:.6g}")


def each_coefficient_acts(case: LossCase) -> None:
    """Every coefficient that it depends on changes the value, and no other one does."""
    outputs = _outputs(1)
    value = case.value(outputs, _LABELS)
    for coefficient in (one.name for one in fields(Weights)):
        twice = 2 * getattr(_WEIGHTS, coefficient)
        other = case.value(outputs, _LABELS, replace(_WEIGHTS, **{coefficient: twice}))
        acts = abs(other - value) > _SMALL
        expected = coefficient in case.coefficients
        hold(acts == expected, f"{coefficient} {'moves' if acts else 'does not move'} the value")


def swap_changes_it(case: LossCase) -> None:
    """Clean and adversarial views have different parts; views that are alike have the same."""
    outputs = _outputs(2)
    value, swapped = case.value(outputs, _LABELS), case.value(outputs.flip(0), _LABELS)
    moved = abs(swapped - value)
    if not case.loss.anchored:
        hold(moved <= _TOLERANCE * abs(value), f"views in another order move it by {moved:.3g}")
        return
    hold(moved > _SMALL, "clean and adversarial views can be swapped")
    slopes = [case.slope(outputs, labels) for labels in (_LABELS, _OTHER_LABELS)]
    clean, adversarial = (float((slopes[0] - slopes[1])[view].abs().max()) for view in (0, 1))
    hold(clean > _SMALL, "labels do not speak of the clean views")
    hold(adversarial <= _SMALL, "labels speak of the adversarial views")


def collapse_is_no_minimum(case: LossCase) -> None:
    """Outputs that are all the same cost more than right ones."""
    right, collapsed = case.value(_right(case), _LABELS), case.value(torch.ones(2, _N, _N), _LABELS)
    hold(collapsed > right + _SMALL, f"right outputs cost {right:.6g}, equal ones {collapsed:.6g}")


def equals_the_definition(case: LossCase) -> None:
    """The value is that of the slow plain twin, at several coefficients."""
    if case.definition is None:
        raise AssertionError("no definition was given")
    for seed, weights in enumerate((_WEIGHTS, Weights(0.1, 0.5), Weights(1.0, 6.0))):
        outputs = _outputs(10 + seed)
        found = case.value(outputs, _LABELS, weights)
        expected = case.definition(outputs, _LABELS, weights)
        close = abs(found - expected) <= _TOLERANCE * max(1.0, abs(expected))
        hold(close, f"{found:.6f} instead of {expected:.6f} with {weights}")


LOSS_LAWS: dict[str, Law[LossCase]] = {
    law.__name__: law
    for law in (
        a_step_lowers_it,
        wrong_labels_cost_more,
        each_coefficient_acts,
        swap_changes_it,
        collapse_is_no_minimum,
        equals_the_definition,
    )
}
"""What every training loss keeps, by name."""
