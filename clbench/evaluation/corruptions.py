"""How often a network is right about corrupted images, and how that compares with a baseline."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.data.image_set import ImageSet, to_floats
from clbench.data.readers.corruptions import read_corrupted
from clbench.data.stored import parts
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.verdicts import accuracies
from clbench.schema.corruptions import (
    ACCURACY,
    RELATIVE,
    SEVERITIES,
    CorruptedSet,
    of_corruption,
)
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import Estimate, mean_of
from clbench.schema.progress import OnProgress

BASELINE = "AlexNet"
"""Whose errors mean corruption errors are relative to, unless a file has one row alone."""

_AT_ONCE = 128


class Seen(NamedTuple):
    """What a network says of clean and of corrupted images."""

    clean_pred: Int[Tensor, " n"]
    right: Float[np.ndarray, "corruptions severities n"]
    sha256: str
    """Of all images, clean and corrupted, in their order."""


def look_at(
    model: AttackedModel,
    of: CorruptedSet,
    clean: ImageSet,
    data_dir: Path,
    *,
    device: torch.device,
    on_progress: OnProgress | None,
) -> Seen:
    """Return what the network says of every clean and every corrupted image.

    Raises:
        DataError: A file of the set is missing, damaged, or of other images.
    """
    digest = hashlib.sha256(clean.sha256.encode())
    cells = [(place, severity) for place in range(len(of.corruptions)) for severity in SEVERITIES]
    right = np.zeros((len(of.corruptions), len(SEVERITIES), len(clean)), dtype=np.float32)
    for done, (place, severity) in enumerate(cells):
        images = read_corrupted(of, of.corruptions[place], severity, clean.labels, data_dir)
        predicted = []
        for part in parts(images, _AT_ONCE):
            digest.update(part.contiguous().numpy().data)
            predicted.append(model.classify(to_floats(part).to(device)).cpu())
        right[place, severity - 1] = (torch.cat(predicted) == clean.labels).numpy()
        if on_progress:
            on_progress(of.name, done + 1, len(cells))
    found = [model.classify(part.to(device)).cpu() for part in parts(clean.images, _AT_ONCE)]
    return Seen(torch.cat(found), right, digest.hexdigest())


def measures_of(
    seen: Seen, of: CorruptedSet, labels: Int[Tensor, " n"], baseline: Mapping[str, float] | None
) -> tuple[Estimate, ...]:
    """Return clean accuracy, that on all corrupted images and on each corruption, and the mCE.

    Intervals are over images, each with all its corruptions together.

    Args:
        seen: What the network said.
        of: The set.
        labels: The right classes.
        baseline: Errors of another network by corruption; without them there is no mCE.

    Source:
        Hendrycks and Dietterich, 2019, arXiv 1903.12261, section 4.2 (mCE).
    """
    broken_by = ["" if right else "clean" for right in (seen.clean_pred == labels).tolist()]
    clean, *_ = accuracies([], broken_by)
    by_image = seen.right.mean(axis=1, dtype=np.float64)
    of_all = mean_of(f"{ACCURACY}{of.suffix}", by_image.mean(axis=0).tolist(), (0.0, 1.0))
    of_each = [
        mean_of(of_corruption(name), by_image[place].tolist(), (0.0, 1.0))
        for place, name in enumerate(of.corruptions)
    ]
    if baseline is None:
        return (clean, of_all, *of_each)
    errors = np.array([baseline[name] for name in of.corruptions])[:, None]
    relative = ((1 - by_image) / errors).mean(axis=0)
    most = float((1 / errors).mean())
    mce = mean_of(f"{RELATIVE}{of.suffix}", relative.tolist(), (0.0, most))
    return (clean, of_all, mce, *of_each)


def read_baseline(path: Path, of: CorruptedSet) -> dict[str, float]:
    """Return the error of a baseline by corruption, the mean over severities.

    The file is laid out as RobustBench's ``unaggregated_results.csv``: a row of corruptions, one of
    severities, and accuracies of a network in each further row, its name first.

    Raises:
        BadValueError: It cannot be read, lacks a corruption, or nobody knows which row is meant.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            kinds, severities, *rows = [row for row in csv.reader(file) if any(row)]
    except OSError as error:
        raise BadValueError(f"baseline {path} cannot be read: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise BadValueError(
            f"baseline {path} must have a row of corruptions, one of severities, and accuracies"
        ) from error
    known = {row[0]: row for row in rows}
    row = known.get(BASELINE) or (rows[0] if len(rows) == 1 else None)
    if row is None:
        raise BadValueError(
            f"baseline {path} must have a row {BASELINE!r}, or one alone, got {', '.join(known)}"
        )
    cells = dict(zip(zip(kinds, severities, strict=False), row, strict=False))
    try:
        errors = {
            name: float(np.mean([1 - float(cells[name, str(one)]) for one in SEVERITIES]))
            for name in of.corruptions
        }
    except (KeyError, ValueError) as error:
        raise BadValueError(
            f"baseline {path} must have accuracies of every corruption and severity, got none of "
            f"{error}"
        ) from error
    if wrong := next((name for name, error in errors.items() if not 0 < error <= 1), None):
        raise BadValueError(
            f"errors of baseline {path} must be above 0 and at most 1, got {errors[wrong]:g} for "
            f"{wrong}"
        )
    return errors
