"""Which scenario a recipe is, by the phases that have an adversary, and what each of them means."""

from typing import Literal

from clbench.schema.names import Scenario

Part = Literal["everything", "classifier"]

MEANING: dict[Scenario, str] = {
    "st": "no adversary",
    "at": "an adversary in pretraining only",
    "partial_at": "an adversary in pretraining, and in a finetuning of the classifier",
    "full_at": "an adversary in pretraining, and in a finetuning of everything",
}
"""What a scenario says of the adversaries of a training."""

_SCENARIOS: dict[tuple[bool, Part | None], Scenario] = {
    (False, None): "st",
    (True, None): "at",
    (True, "classifier"): "partial_at",
    (True, "everything"): "full_at",
}


def scenario_of(*, pretraining: bool, finetuning: Part | None) -> Scenario | None:
    """Return the scenario of a training, None where none is called so.

    Args:
        pretraining: Whether pretraining has an adversary.
        finetuning: What is finetuned against an adversary; None where nothing is.

    >>> scenario_of(pretraining=True, finetuning="classifier")
    'partial_at'
    """
    return _SCENARIOS.get((pretraining, finetuning))
