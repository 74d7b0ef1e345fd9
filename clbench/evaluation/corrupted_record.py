"""The record of a network on corrupted images: nothing is attacked."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.corruptions import Seen, look_at, measures_of, read_baseline
from clbench.evaluation.evaluation import Evaluation
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.store import RunStore
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING
from clbench.models.interface import LoadedModel
from clbench.runtime.devices import device_name
from clbench.schema.corruptions import CorruptedSet
from clbench.schema.flags import is_unreliable
from clbench.schema.progress import OnProgress
from clbench.schema.protocol import CUSTOM
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import SCHEMA_VERSION, Counts, DataEntry, EvaluationRecord

_NO_TILE = 0
"""Verdicts are of single images, whatever goes through the network together."""


def evaluate_corrupted(
    loaded: LoadedModel,
    of: CorruptedSet,
    clean: ImageSet,
    *,
    data_dir: Path,
    device: torch.device,
    baseline: Path | None = None,
    out: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Return the evaluation of a network, which is on ``device``, on a set of corrupted images.

    Args:
        loaded: The network.
        of: The set.
        clean: The same images without corruptions.
        data_dir: The folder that holds the set's own.
        device: Where the network is.
        baseline: A file of another network's accuracies, for the mean corruption error.
        out: Where record and evidence are written; None writes nothing.
        on_progress: Told after every corruption and severity.

    Raises:
        ClbenchError: A file is missing, damaged, or of other images, or cannot be written.
    """
    errors = read_baseline(baseline, of) if baseline else None
    started, model = time.perf_counter(), AttackedModel(loaded.network)
    seen = look_at(model, of, clean, data_dir, device=device, on_progress=on_progress)
    record = replace(
        _record(loaded, of, clean, seen, device),
        measures=measures_of(seen, of, clean.labels, errors),
        wall_s=time.perf_counter() - started,
    )
    evidence = _evidence(record, clean, seen)
    if out is None:
        return Evaluation(record, evidence)
    store = RunStore.at(out, record.run)
    return Evaluation(store.write(record, evidence), evidence, store.paths)


def _record(
    loaded: LoadedModel, of: CorruptedSet, clean: ImageSet, seen: Seen, device: torch.device
) -> EvaluationRecord:
    is_whole = len(clean) == of.n_examples
    return EvaluationRecord(
        schema_version=SCHEMA_VERSION,
        protocol=of.protocol if is_whole else CUSTOM,
        model=loaded.entry,
        data=DataEntry(of.name, len(clean), seen.sha256),
        threat_model=None,
        attack=None,
        measures=(),
        flags=loaded.flags,
        unreliable=is_unreliable(loaded.flags),
        seed=0,
        counts=Counts(seen.right.size + len(clean), 0),
        wall_s=0.0,
        device=device_name(device),
        precision="float32",
        batch_size=_NO_TILE,
        versions=versions(),
        commit=commit(),
        created=utc_now(),
    )


def _evidence(record: EvaluationRecord, clean: ImageSet, seen: Seen) -> Evidence:
    """Return what is known of every clean image."""
    predicted, labels = seen.clean_pred.numpy(), clean.labels.numpy()
    return Evidence(
        identity=record.run.hash,
        index=clean.index.numpy(),
        label=labels,
        clean_pred=predicted,
        adv_pred=predicted,
        broken_by=np.where(predicted == labels, BY_NOTHING, BY_CLEAN),
    )
