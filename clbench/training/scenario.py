"""Which scenario a recipe is, by the phases that have an adversary, and what each of them means."""

from collections.abc import Collection
from typing import Literal

from clbench.schema.errors import BadValueError
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


def check_scenario(
    scenario: Scenario, model: str, *, attacked: Collection[str], finetuned: Part | None
) -> None:
    """Check that a training is what its scenario says, so that no file says another.

    Args:
        scenario: What it is called.
        model: How messages call it.
        attacked: Its phases that have an adversary.
        finetuned: What its finetuning trains; None where it has none.

    Raises:
        BadValueError: It is another; the message says which.
    """
    found = scenario_of(
        pretraining="pretraining" in attacked,
        finetuning=finetuned if "finetuning" in attacked else None,
    )
    if found == scenario:
        return
    raise BadValueError(
        f"scenario {scenario!r} of {model} means {MEANING[scenario]}, got "
        + (f"one in {' and '.join(attacked)}" if attacked else "none")
        + (
            f", which is {found!r}; train a model of that scenario"
            if found
            else ", which no scenario has"
        )
    )
