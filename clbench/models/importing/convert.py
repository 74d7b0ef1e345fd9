"""A checkpoint made into a folder that ``--model`` reads, every open question answered or asked."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from clbench.data.checks import check_labels
from clbench.data.image_set import ImageSet
from clbench.models.backbones.architecture import CLASSES
from clbench.models.checkpoints.dialect import Normalisation
from clbench.models.checkpoints.fill import fill
from clbench.models.checkpoints.read import Checkpoint, read_checkpoint
from clbench.models.checkpoints.translate import Branch
from clbench.models.importing.choose import choose
from clbench.models.importing.readings import (
    NORMALISATION,
    NUM_HEADS,
    SHORTCUT_OF,
    Given,
    Reading,
    readings,
)
from clbench.models.importing.source import NO_DIALECT, Source, read_source
from clbench.models.importing.write import check_out, write_model
from clbench.models.normalization import normalise_inside
from clbench.runtime.as_found import in_eval_mode
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError, WeightsError
from clbench.schema.imported import ImportedModel
from clbench.schema.provenance import utc_now, versions

log = logging.getLogger(__name__)


_BY_HAND = {
    NORMALISATION: "--mean and --std",
    NUM_HEADS: "--arch, which tells a normalisation too",
    SHORTCUT_OF: "FILE.py:FACTORY",
}
"""How each question that may be open is answered by hand."""


class Imported(NamedTuple):
    """A folder with a model, what is known of it, and the accuracies that decided, in words."""

    folder: Path
    entry: ImportedModel
    tried: tuple[str, ...] = ()


def convert(
    path: Path,
    folder: Path,
    *,
    arch: str | None = None,
    dialect: str | None = None,
    branch: Branch | None = None,
    given: Given | None = None,
    images: ImageSet | None = None,
) -> Imported:
    """Write the network of a checkpoint into a folder, and return what it is.

    Args:
        path: The checkpoint.
        folder: Where to write; no other model may be there.
        arch: A name of timm, torchvision or clbench; told from the tensors where None.
        dialect: A name of ``DIALECTS``; recognised where None.
        branch: Which of several batch norms.
        given: What no tensor tells, by hand.
        images: Training or validation images, which tell the rest.

    Raises:
        WeightsError: The checkpoint is damaged, of no known dialect or of several, or has names
            that no network accounts for.
        BadValueError: A question is open, and neither the dialect nor a hand nor images answer it.
        ModelError: The images do not tell.
        StorageError: The folder has another model, or cannot be written.
    """
    check_out(folder)
    found = read_checkpoint(path)
    source = read_source(found, arch=arch, dialect=dialect, branch=branch)
    possible = readings(
        source.architecture,
        source.dialect,
        inside=source.inside,
        told=source.told,
        given=given or Given(),
        configured=source.configured,
    )
    reading, tried = _decide(path, source, possible, images)
    network = _network(reading, source.weights, path)
    entry = _entry(found, source, reading, network, name=folder.resolve().name, tried=tried)
    write_model(folder, network, entry)
    return Imported(folder, entry, tried)


def _decide(
    path: Path, source: Source, possible: list[Reading], images: ImageSet | None
) -> tuple[Reading, tuple[str, ...]]:
    """Return the reading that somebody said, or that images tell.

    Raises:
        BadValueError: Nobody said it, and there are no images, or nothing to be right with.
    """
    first, n_classes = possible[0], source.architecture.options.get(CLASSES, 0)
    if images is not None and n_classes:
        check_labels(images.name, images.labels, n_classes, f"the network has {n_classes} outputs")
        chosen = choose(possible, lambda one: _ready(one, source.weights, path), images)
        return chosen.reading, chosen.tried
    if images is not None and first.unsaid:
        raise BadValueError(_open(path, possible, "it has no classifier, so that images do not"))
    if images is not None:
        raise BadValueError(
            f"checkpoint {path} has no classifier, so that {images.name} tell nothing of it, and "
            "nothing is open; leave out --data and --dataset"
        )
    if first.unsaid:
        raise BadValueError(_open(path, possible, "neither the tensors nor its dialect"))
    return first, ()


def _open(path: Path, possible: list[Reading], who: str) -> str:
    questions = []
    for question in possible[0].unsaid:
        answers = dict.fromkeys(one.answer(question) for one in possible)
        questions.append(f"{question.replace('_', ' ')} ({' or '.join(answers)})")
    how = " and ".join(_BY_HAND[question] for question in possible[0].unsaid)
    images = "" if "classifier" in who else ", or give validation images with --data or --dataset"
    return (
        f"checkpoint {path}: {who} tell its {' and its '.join(questions)}; say it by {how}{images}"
    )


def _network(reading: Reading, weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Return the network with its weights, in eval mode; every name of both sides is used.

    Raises:
        WeightsError: One is not.
    """
    network = reading.architecture.build()
    fill(network, weights, path)
    in_eval_mode(network)
    if broken := [k for k, v in weights.items() if not bool(v.isfinite().all())]:
        raise WeightsError(
            f"checkpoint {path} has NaN or infinite values in {broken[0]!r}"
            f"{f' and {len(broken) - 1} more' if broken[1:] else ''}; take an earlier epoch"
        )
    return network


def _ready(reading: Reading, weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Return the network of a reading, for images in [0, 1]."""
    network = _network(reading, weights, path)
    prepare(network, reading.normalisation)
    return network


def prepare(network: nn.Module, normalisation: Normalisation) -> str:
    """Put a normalisation before a network, and return what was put there, in words."""
    mean, std = normalisation
    return normalise_inside(network, {"mean": mean, "std": std}, len(mean))


def _entry(
    found: Checkpoint,
    source: Source,
    reading: Reading,
    network: nn.Module,
    *,
    name: str,
    tried: tuple[str, ...],
) -> ImportedModel:
    said = {key: by or "images" for key, by in reading.said_by.items()}
    if tried:
        said = {key: f"{by}, and clean accuracy on images" for key, by in said.items()}
    return ImportedModel(
        name=name,
        family=reading.architecture.family,
        architecture=reading.architecture.name,
        options=reading.architecture.options,
        n_classes=reading.architecture.options.get(CLASSES, 0),
        mean=reading.normalisation.mean,
        std=reading.normalisation.std,
        decided={key: f"{reading.answer(key)} (said by {by})" for key, by in said.items()},
        dialect=source.dialect.name if source.dialect else NO_DIALECT,
        evidence=source.evidence,
        branch=source.branch,
        left_out=source.left_out,
        source_file=found.path.name,
        file_sha256=found.sha256,
        weights_sha256=state_sha256(network),
        versions=versions("torchvision"),
        created=utc_now(),
    )
