"""Why a loss became no number: the setting that is furthest from what is usual."""

from collections.abc import Callable
from dataclasses import dataclass

from clbench.training.recipe import Phase

_USUAL_LR = {"sgd": 1.0, "adam": 0.01, "adamw": 0.01}


@dataclass(frozen=True)
class _Suspect:
    """A field, by how many times it is too large (or too small), and what to try instead."""

    field: str
    excess: Callable[[Phase], float]
    instead: Callable[[Phase], float]


_SUSPECTS = (
    _Suspect(
        "optimizer.lr",
        lambda phase: phase.optimizer.lr / _USUAL_LR[phase.optimizer.name],
        lambda phase: phase.optimizer.lr / 3,
    ),
    _Suspect(
        "temperature",
        lambda phase: 0.05 / phase.temperature if phase.projected else 0.0,
        lambda _: 0.1,
    ),
    _Suspect(
        "optimizer.weight_decay",
        lambda phase: phase.optimizer.lr * phase.optimizer.weight_decay / 0.05,
        lambda _: 5e-4,
    ),
    _Suspect(
        "optimizer.momentum",
        lambda phase: 0.02 / (1 - phase.optimizer.momentum),
        lambda _: 0.9,
    ),
    _Suspect(
        "beta",
        lambda phase: phase.beta / 50 if any(row.anchored for row in phase.losses) else 0.0,
        lambda _: 6.0,
    ),
)
"""The learning rate comes first: it is what to lower where nothing is unusual."""


def likely_setting(phase: Phase) -> tuple[str, float, float]:
    """Return the field of a phase that most likely made a loss no number, its value and another."""
    worst = max(_SUSPECTS, key=lambda one: one.excess(phase))
    found = worst if worst.excess(phase) > 1 else _SUSPECTS[0]
    value: object = phase
    for name in found.field.split("."):
        value = getattr(value, name)
    assert isinstance(value, int | float), "suspects are numbers"
    return found.field, value, found.instead(phase)
