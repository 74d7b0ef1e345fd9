"""The model card of a training: what a user must know of its weights, in Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path

from clbench.schema.files import write_atomically
from clbench.training.artifacts import CARD, Summary
from clbench.training.recipe import Phase, Recipe, to_table


def write_card(folder: Path, recipe: Recipe, summary: Summary) -> None:
    """Write the model card.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_atomically(folder / CARD, card(recipe, summary).encode())


def card(recipe: Recipe, summary: Summary) -> str:
    """Return the model card in Markdown."""
    sections = {
        f"# {recipe.full_name}": _table(("", ""), _facts(recipe, summary)),
        "## Budget": _table(
            ("phase", "loss", "labels used", "epochs", "passes per image and epoch"),
            {name: _budget(name, phase, summary) for name, phase in recipe.phases.items()},
        ),
        "## Accuracy of these half-precision weights": _table(
            ("images, attack", "accuracy", "n"), _figures(recipe, summary)
        ),
        "## Again": [f"    {summary.command}"],
        "## Recipe": ["```json", json.dumps(to_table(recipe), indent=1), "```"],
    }
    return "\n".join(line for title, lines in sections.items() for line in (title, "", *lines, ""))


def _facts(recipe: Recipe, summary: Summary) -> dict[str, tuple[object, ...]]:
    source = f"{recipe.dataset}, {' and '.join(summary.files) or 'the public archive'}"
    facts = {
        "Scheme, scenario": f"{recipe.scheme}, {recipe.scenario}",
        "Backbone": f"{recipe.backbone}, inputs in [0, 1] without normalisation, raw logits",
        "Data": f"{source}: {summary.n_train} training images, {summary.n_validation} validation "
        "images, no test image",
        "Seed": summary.seed,
        "Epoch kept": f"highest validation {recipe.criterion}",
        "Training": f"{_duration(summary.seconds)} on {_devices(summary)}, {summary.precision}, "
        f"torch threads: {summary.threads}"
        + (", reused pretraining not counted" if summary.pretrained_from else ""),
        "Versions": ", ".join(f"{name} {version}" for name, version in summary.versions.items()),
        "Commit": summary.commit,
        "Weights": f"half precision, sha256 {summary.weights_sha256}",
        "Created": summary.created,
        "Licence": "MIT",
    }
    return {name: (fact,) for name, fact in facts.items()}


def _budget(name: str, phase: Phase, summary: Summary) -> tuple[object, ...]:
    kept = (
        f"{phase.epochs} (kept: {summary.selected[name]})"
        if name in summary.selected
        else f"{phase.epochs} (reused from {summary.pretrained_from})"
    )
    losses = " and ".join(one for one in (phase.loss, phase.labelled_loss) if one)
    return losses, _labels(phase), kept, phase.passes_per_image


def _labels(phase: Phase) -> str:
    if not any(row.labelled for row in phase.losses):
        return "none"
    return "all" if phase.labelled == 1 else f"{phase.labelled:.0%}"


def _figures(recipe: Recipe, summary: Summary) -> dict[str, tuple[object, ...]]:
    attack = f"PGD-{recipe.validation.steps}, Linf {recipe.validation.eps}"
    return {
        "validation, clean": (f"{summary.clean_acc:.2%}", summary.n_validation),
        f"validation, {attack}": (f"{summary.robust_acc:.2%}", summary.n_validation),
    }


def _devices(summary: Summary) -> str:
    return f"{summary.processes} x {summary.device}" if summary.processes > 1 else summary.device


def _duration(seconds: float) -> str:
    minutes = 60
    return f"{seconds:.0f} s" if seconds < 10 * minutes else f"{seconds / minutes:.0f} min"


def _table(heading: tuple[str, ...], rows: Mapping[str, tuple[object, ...]]) -> list[str]:
    lines = (heading, ("---",) * len(heading), *((name, *row) for name, row in rows.items()))
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]
