"""The files of a head: of one seed a network that ``--model`` reads, of all a summary."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from clbench.models import save_weights
from clbench.models.encoder import Encoder
from clbench.models.sources.head_folder import read_entry
from clbench.runtime.hashing import state_sha256
from clbench.schema.dataclass_io import to_json, to_table
from clbench.schema.errors import StorageError
from clbench.schema.files import write_atomically
from clbench.schema.head import (
    CODE,
    ENTRY,
    METHODS,
    OWN_CODE,
    SUMMARY,
    Figures,
    HeadEntry,
    HeadModel,
    HeadSummary,
)
from clbench.schema.provenance import utc_now, versions
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import CARD, WEIGHTS
from clbench.training.card import AGAIN, BUDGET, budget, devices, duration, table
from clbench.training.heads.recipe import PHASE, HeadRecipe


def write_network(
    folder: Path, encoder: Encoder, trained: Encoder, recipe: HeadRecipe, seeds: Sequence[int]
) -> None:
    """Write weights in full precision, a user's own code, and the entry that names them.

    Args:
        folder: Of one seed.
        encoder: As it was loaded.
        trained: The same with the network that was fitted.
        recipe: Of this seed.
        seeds: Of all that are fitted together.

    Raises:
        StorageError: The folder cannot be written.
    """
    network = trained.headed.network
    save_weights(network, folder / WEIGHTS, half=False)
    _copy_code(folder / CODE, encoder)
    entry = HeadModel(
        name=f"{encoder.name}-{recipe.method}",
        head=HeadEntry(recipe.method, tuple(seeds), encoder.name, encoder.sha256),
        seed=recipe.seed,
        encoder_source=encoder.source,
        family=encoder.architecture.family,
        architecture=encoder.architecture.name,
        options=encoder.architecture.options,
        classifier="" if encoder.behind else encoder.headed.layer,
        n_features=encoder.features,
        n_classes=encoder.n_classes,
        shape=encoder.shape,
        seen=encoder.seen,
        weights_sha256=state_sha256(network),
        recipe_sha256=recipe.sha256,
        backbone=encoder.backbone,
        versions=versions("lightning-fabric"),
        created=utc_now(),
    )
    write_atomically(folder / ENTRY, to_json(entry, checksum=True))


def _copy_code(folder: Path, encoder: Encoder) -> None:
    """Copy the files that a network of a user's own is made of, so that its folder has all."""
    in_file = encoder.architecture.family == OWN_CODE and ".py:" in encoder.architecture.name
    if encoder.code is None or not in_file:
        return
    for name in encoder.code.files():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (encoder.code.folder / name).resolve() != (folder / name).resolve():
                shutil.copyfile(encoder.code.folder / name, folder / name)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder / name}: {error.strerror}; choose another --out"
            ) from error


def tell_seeds(folder: Path, seeds: Sequence[int]) -> None:
    """Let the entry of a finished seed name all that belong to it, as there may be more by now.

    Raises:
        RecordError: It cannot be read.
        StorageError: It cannot be written.
    """
    entry = read_entry(folder)
    if entry.head.seeds != tuple(seeds):
        told = replace(entry, head=replace(entry.head, seeds=tuple(seeds)))
        write_atomically(folder / ENTRY, to_json(told, checksum=True))


def write_head_card(
    folder: Path, encoder: Encoder, recipe: HeadRecipe, record: TrainingRecord
) -> None:
    """Write the card of one seed.

    Raises:
        StorageError: The folder cannot be written.
    """
    facts = {
        "Protocol": f"{recipe.method}: {METHODS[recipe.method]}",
        "Encoder": f"{encoder.source}; {encoder.features} features, sha256 of its state "
        f"{encoder.sha256}",
        "Inputs": f"in [0, 1], {'x'.join(map(str, encoder.shape))}; before the network: "
        f"{encoder.seen.words or 'what its own code does'}",
        "Data": f"{recipe.data}: {record.n_train} training images, sha256 {record.data_sha256}; "
        f"{record.n_validation} validation images, sha256 {record.validation_sha256}",
        "Test images": record.test_images,
        "Seed": record.seed,
        "Epoch kept": f"highest validation {recipe.criterion}",
        "Training": f"{duration(record.seconds)} on {devices(record)}, {record.precision}, "
        f"torch threads: {record.threads}",
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Commit": record.commit,
        "Weights": f"full precision, sha256 {record.weights_sha256}",
        "Created": record.created,
        "Licence": "that of the encoder",
    }
    n, attack = record.n_validation, attack_name(recipe)
    figures = {
        "validation, clean": (f"{record.clean_acc:.2%}", n),
        f"validation, {attack}": (f"{record.robust_acc:.2%}", n),
    }
    budgets = {PHASE: budget(PHASE, recipe.finetuning, record)}
    sections = {
        f"# {record.model}": table(("", ""), {name: (fact,) for name, fact in facts.items()}),
        "## Budget": table(BUDGET, budgets),
        "## Accuracy": table(("images, attack", "accuracy", "n"), figures),
        **({"## Remarks": [f"- {note}" for note in record.notes]} if record.notes else {}),
        "## Again": [f"    {record.command}", "", AGAIN],
        "## Recipe": ["```json", json.dumps(to_table(recipe), indent=1), "```"],
    }
    text = "\n".join(line for title, rows in sections.items() for line in (title, "", *rows, ""))
    write_atomically(folder / CARD, text.encode())


def attack_name(recipe: HeadRecipe) -> str:
    """Return what robust accuracy on validation images is under."""
    return f"PGD-{recipe.validation.steps}, {recipe.validation.threat_model}"


def write_summary(out: Path, summary: HeadSummary) -> None:
    """Write what all seeds reached together.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_atomically(out / SUMMARY, to_json(summary, checksum=True))


def summary_of(
    encoder: Encoder, recipe: HeadRecipe, records: Sequence[TrainingRecord]
) -> HeadSummary:
    """Return what all seeds reached together."""
    first = records[0]
    return HeadSummary(
        model=first.model,
        method=recipe.method,
        encoder=encoder.name,
        encoder_sha256=encoder.sha256,
        data=recipe.data,
        n_train=first.n_train,
        n_validation=first.n_validation,
        seeds=tuple(record.seed for record in records),
        attack=attack_name(recipe),
        clean_acc=figures_of([record.clean_acc for record in records]),
        robust_acc=figures_of([record.robust_acc for record in records]),
    )


def figures_of(values: Sequence[float]) -> Figures:
    """Return the mean and the spread of an accuracy over seeds.

    >>> figures_of([0.5, 0.7]).std is None, figures_of([0.5]).std is None
    (False, True)
    """
    spread = stdev(values) if len(values) > 1 else None
    return Figures(tuple(values), fmean(values), spread)
