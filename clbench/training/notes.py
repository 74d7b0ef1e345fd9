"""What a recipe says and does not do: settings that its own length leaves without effect."""

from collections.abc import Iterator

from clbench.schema.threat_model import format_eps
from clbench.training.recipe import Phase, Trainable


def warmup_notes(recipe: Trainable) -> list[str]:
    """Return a line for every warm-up that is longer than its phase."""
    return [note for name, phase in recipe.phases.items() for note in _notes(name, phase)]


def _notes(name: str, phase: Phase) -> Iterator[str]:
    epochs = f"{phase.epochs} epoch{'s' * (phase.epochs > 1)}"
    adversary, optimizer = phase.adversary, phase.optimizer
    if adversary and (reached := adversary.eps_in(phase.epochs)) < adversary.eps:
        yield (
            f"warm-up of eps is {adversary.warmup_epochs} epochs, {name} has {epochs}: "
            f"its adversary reaches eps {format_eps(reached)} of {format_eps(adversary.eps)}; "
            f"set {name}.adversary.warmup_epochs"
        )
    if optimizer.warmup_epochs > phase.epochs:
        share = phase.epochs / optimizer.warmup_epochs
        yield (
            f"warm-up of the learning rate is {optimizer.warmup_epochs} epochs, "
            f"{name} has {epochs}: it reaches {share * optimizer.lr:.2g} of {optimizer.lr:g}; "
            f"set {name}.optimizer.warmup_epochs"
        )
