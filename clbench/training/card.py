"""The model card of a training: what a user must know of its weights, in Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path

from clbench.schema.dataclass_io import to_table
from clbench.schema.files import write_atomically
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import CARD
from clbench.training.recipe import Phase, Recipe

AGAIN = (
    "Where images, versions, kind of device and number of threads are the same, so are the weights."
)


def write_card(folder: Path, recipe: Recipe, record: TrainingRecord) -> None:
    """Write the model card.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_atomically(folder / CARD, card(recipe, record).encode())


def card(recipe: Recipe, record: TrainingRecord) -> str:
    """Return the model card in Markdown."""
    sections = {
        f"# {recipe.full_name}": table(("", ""), _facts(recipe, record)),
        "## Budget": table(
            BUDGET,
            {name: budget(name, phase, record) for name, phase in recipe.phases.items()},
        ),
        "## Accuracy of these half-precision weights": table(
            ("images, attack", "accuracy", "n"), _figures(recipe, record)
        ),
        **({"## Remarks": [f"- {note}" for note in record.notes]} if record.notes else {}),
        "## Again": [f"    {record.command}", "", AGAIN],
        "## Recipe": ["```json", json.dumps(to_table(recipe), indent=1), "```"],
    }
    return "\n".join(line for title, lines in sections.items() for line in (title, "", *lines, ""))


def _facts(recipe: Recipe, record: TrainingRecord) -> dict[str, tuple[object, ...]]:
    source = f"{recipe.dataset}, {' and '.join(record.files) or 'the public archive'}"
    facts = {
        "Scheme, scenario": f"{recipe.scheme}, {recipe.scenario}",
        "Backbone": f"{recipe.backbone}, inputs in [0, 1] without normalisation, raw logits",
        "Data": f"{source}: {record.n_train} training images, sha256 {record.data_sha256}; "
        f"{record.n_validation} validation images, sha256 {record.validation_sha256}",
        "Test images": record.test_images,
        **({"Backbone pretrained on": _backbone(record)} if record.pretrained_on else {}),
        "Seed": record.seed,
        "Epoch kept": f"highest validation {recipe.criterion}",
        "Training": f"{duration(record.seconds)} on {devices(record)}, {record.precision}, "
        f"torch threads: {record.threads}"
        + (", reused pretraining not counted" if record.pretrained_from else ""),
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Commit": record.commit,
        "Weights": f"half precision, sha256 {record.weights_sha256}",
        "Created": record.created,
        "Licence": "MIT",
    }
    return {name: (fact,) for name, fact in facts.items()}


def _backbone(record: TrainingRecord) -> str:
    return (
        f"{record.pretrained_on}, sha256 {record.pretrained_sha256}, seed {record.pretrained_seed}"
    )


BUDGET = ("phase", "loss", "labels used", "epochs", "passes per image and epoch")


def budget(name: str, phase: Phase, record: TrainingRecord) -> tuple[object, ...]:
    """Return what a phase cost, by the columns of ``BUDGET`` after its name."""
    kept = (
        f"{phase.epochs} (kept: {record.selected[name]})"
        if name in record.selected
        else f"{phase.epochs} (reused from {record.pretrained_from})"
    )
    losses = " and ".join(one for one in (phase.loss, phase.labelled_loss) if one)
    return losses, _labels(phase), kept, phase.passes_per_image


def _labels(phase: Phase) -> str:
    if not any(row.labelled for row in phase.losses):
        return "none"
    return "all" if phase.labelled == 1 else f"{phase.labelled:.0%}"


def _figures(recipe: Recipe, record: TrainingRecord) -> dict[str, tuple[object, ...]]:
    attack = f"PGD-{recipe.validation.steps}, {recipe.validation.threat_model}"
    return {
        "validation, clean": (f"{record.clean_acc:.2%}", record.n_validation),
        f"validation, {attack}": (f"{record.robust_acc:.2%}", record.n_validation),
    }


def devices(record: TrainingRecord) -> str:
    """Return on what a training ran."""
    return f"{record.processes} x {record.device}" if record.processes > 1 else record.device


def duration(seconds: float) -> str:
    """Return a time as a reader of a card wants it."""
    minutes = 60
    return f"{seconds:.0f} s" if seconds < 10 * minutes else f"{seconds / minutes:.0f} min"


def table(heading: tuple[str, ...], rows: Mapping[str, tuple[object, ...]]) -> list[str]:
    """Return a table in Markdown, a line each; rows by their first cell."""
    lines = (heading, ("---",) * len(heading), *((name, *row) for name, row in rows.items()))
    return ["| " + " | ".join(map(_cell, line)) + " |" for line in lines]


def _cell(value: object) -> str:
    """Return a value as it can stand in a table, whatever names of files hold."""
    return " ".join(str(value).replace("|", "\\|").split())
