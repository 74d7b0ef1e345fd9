"""The files of one training: weights, log, model card, and what tells that it is finished."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clbench.errors import RecordError, StorageError
from clbench.provenance import write_atomically
from clbench.train.phases import Epoch
from clbench.train.recipe import Recipe, to_table

WEIGHTS, BACKBONE, LOG, CARD, SUMMARY = (
    *("weights.safetensors", "backbone.safetensors"),
    *("log.csv", "card.md", "run.json"),
)
"""Half-precision weights; the pretrained backbone in full precision; the rest is text."""


@dataclass(frozen=True)
class Summary:
    """What a finished training was and reached; its file is written last.

    ``selected`` holds the epoch kept of each phase. The accuracies, in [0, 1], are those on
    validation images of the network in ``weights.safetensors``. ``pretrained_from`` names the run
    whose backbone was reused, or is "".
    """

    model: str
    seed: int
    recipe: dict[str, Any]
    selected: dict[str, int]
    n_train: int
    n_validation: int
    data_sha256: str
    clean_acc: float
    robust_acc: float
    seconds: float
    device: str
    processes: int
    precision: str
    threads: int
    pretrained_from: str
    weights_sha256: str
    versions: dict[str, str]
    commit: str
    created: str


def read_summary(folder: Path) -> Summary | None:
    """Return the summary of the finished training in ``folder``, or None where there is none.

    Raises:
        RecordError: There is one, but it cannot be read.
    """
    path = folder / SUMMARY
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return Summary(**table)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{path} is damaged ({error}); train again with --restart or into another folder"
        ) from error


def write_log(folder: Path, rows: Sequence[Epoch]) -> None:
    """Write the log so far; accuracies that were not measured are empty.

    Raises:
        StorageError: The folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in asdict(row).items()} for row in rows)
    write_atomically(folder / LOG, text.getvalue().encode())


def write_summary(folder: Path, summary: Summary) -> None:
    """Write the summary, which makes the training a finished one.

    Raises:
        StorageError: The folder cannot be written.
    """
    text = json.dumps(asdict(summary), indent=1)
    write_atomically(folder / SUMMARY, f"{text}\n".encode())


def discard_summary(folder: Path) -> None:
    """Let a training in ``folder`` be no longer finished, before its files are replaced.

    Raises:
        StorageError: The folder cannot be written.
    """
    try:
        (folder / SUMMARY).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot replace the run in {folder}: {error.strerror}; choose another --out"
        ) from error


def write_card(folder: Path, recipe: Recipe, summary: Summary) -> None:
    """Write the model card.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_atomically(folder / CARD, card(recipe, summary).encode())


def card(recipe: Recipe, summary: Summary) -> str:
    """Return the model card in Markdown."""
    command = (
        f"clbench train {recipe.name} --dataset {recipe.dataset} --seed {summary.seed} --out DIR"
    )
    return "\n".join(
        [
            f"# {recipe.full_name}",
            "",
            *_table("| | |", "|---|---|", _facts(recipe, summary)),
            "",
            "## Accuracy of these half-precision weights",
            "",
            *_table(
                "| images, attack | accuracy | n |", "|---|---|---|", _figures(recipe, summary)
            ),
            "",
            "## Again",
            "",
            f"    {command}",
            "",
            "## Recipe",
            "",
            "```json",
            json.dumps(to_table(recipe), indent=1),
            "```",
            "",
        ]
    )


def _facts(recipe: Recipe, summary: Summary) -> dict[str, object]:
    budget = ", ".join(
        f"{name} {phase.epochs} epochs (kept: {summary.selected[name]})"
        if name in summary.selected
        else f"{name} {phase.epochs} epochs (reused from {summary.pretrained_from})"
        for name, phase in recipe.phases.items()
    )
    return {
        "Scheme, scenario": f"{recipe.scheme}, {recipe.scenario}",
        "Backbone": f"{recipe.backbone}, inputs in [0, 1] without normalisation, raw logits",
        "Data": f"{recipe.dataset}: {summary.n_train} training images, "
        f"{summary.n_validation} validation images, no test image",
        "Labels used in pretraining": "none" if recipe.scheme == "simclr" else "all",
        "Epochs": budget,
        "Seed": summary.seed,
        "Epoch kept": f"highest validation {recipe.criterion}",
        "Training": f"{summary.seconds:.0f} s on {summary.device}, {summary.precision}, "
        f"torch threads: {summary.threads}"
        + (", reused pretraining not counted" if summary.pretrained_from else ""),
        "Versions": ", ".join(f"{name} {version}" for name, version in summary.versions.items()),
        "Weights": f"half precision, sha256 {summary.weights_sha256}",
        "Created": summary.created,
        "Licence": "MIT",
    }


def _figures(recipe: Recipe, summary: Summary) -> dict[str, object]:
    attack = f"PGD-{recipe.validation.steps}, Linf {recipe.validation.eps}"
    return {
        "validation, clean": f"{summary.clean_acc:.2%} | {summary.n_validation}",
        f"validation, {attack}": f"{summary.robust_acc:.2%} | {summary.n_validation}",
    }


def _table(heading: str, rule: str, rows: Mapping[str, object]) -> list[str]:
    return [heading, rule, *(f"| {name} | {value} |" for name, value in rows.items())]


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
