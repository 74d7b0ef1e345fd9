"""Evaluating a network."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, AnyPaths, as_paths, path_or_none
from clbench.schema.progress import OnProgress
from clbench.schema.settings import Settings

if TYPE_CHECKING:
    from clbench.data.load import Data
    from clbench.evaluation.evaluation import Evaluation
    from clbench.evaluation.progress import Progress
    from clbench.evaluation.session import Session
    from clbench.models.load import Model
    from clbench.models.preprocessing import Numbers
    from clbench.schema.names import EvidenceKind
    from clbench.schema.records import EvaluationRecord
    from clbench.schema.shard import Shard

log = logging.getLogger(__name__)


def evaluate(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
    weights: AnyPath | None = None,
    mean: "Numbers | None" = None,
    std: "Numbers | None" = None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: str | None = None,
    output: str | int | None = None,
    norm: str | None = None,
    eps: str | Fraction | None = None,
    n_examples: int | None = None,
    attack: str | None = None,
    backend: str = "auto",
    batch_size: int | str | None = "auto",
    device: str = "auto",
    precision: str = "auto",
    seed: int | None = None,
    out: AnyPath | None = None,
    probe: bool = True,
    linear_probes: bool = False,
    train_data: AnyPaths = (),
    finish: bool = False,
    restart: bool = False,
    save_adversarial: bool = False,
    evidence: str | None = None,
    shard: str | None = None,
    transfer_from: AnyPaths = (),
    escalate: bool = False,
    on_progress: "Callable[[Progress], None] | None" = None,
    on_probe: OnProgress | None = None,
    on_record: "Callable[[EvaluationRecord], None] | None" = None,
) -> "Evaluation":
    """Attack a model and return its record, and what happened to every example.

    An identical finished run under ``out`` is returned as it is, unless a restart was asked for;
    columns that it lacks are added without attacking again. An unfinished one goes on.

    Args:
        model: A name, as ``--model`` reads it, or a network that takes images in [0, 1].
        protocol: How to evaluate; digits-linf unless given. Values given by hand override it.
        data: Images instead of the protocol's: a data set, a .npz or .parquet file, a folder with a
            folder of pictures for each class, an image set, or images [n, c, h, w], uint8 or floats
            in [0, 1], and labels [n].
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.
        weights: A file of safetensors or of torch.save instead of the model's own weights.
        mean: What to subtract from pixels before the network, a number per channel, where nothing
            else tells; it becomes a part of the network, like all of this.
        std: What to divide them by then.
        resize: The length of the shorter side that images are brought to first.
        crop: The side of the square that is cut out of their middle then.
        interpolation: How they are resized: bilinear (the default), bicubic or nearest.
        output: Which entry is the logits, of a network that returns several: a name, an index, or
            both with a dot, like "heads.0".
        norm: Linf, L2 or L1.
        eps: Largest perturbation in units of the pixel range, like "8/255"; exact, so no float.
        n_examples: The first so many examples.
        attack: Its name and options, like "pgd,steps=40".
        backend: Who must run the attack.
        batch_size: Images attacked at once; "auto" chooses by the network and the device.
        device: auto, cpu, cuda or cuda:N.
        precision: Of the attacks, float32 or bfloat16, "auto" for float32; every success is
            confirmed in float32.
        seed: Decides, with each example's index, every random number.
        out: Folder for record, evidence and leaderboard.csv; None writes nothing.
        probe: Whether to add the CKA columns.
        linear_probes: Whether to add columns of linear classifiers of every stage's features.
        train_data: Training images for them.
        finish: Whether to go on, with autoattack, from the finished run under ``out`` of the attack
            ``fast``, whose verdicts stay.
        restart: Whether to run again from the start.
        save_adversarial: Whether to keep the adversarial images; without ``out`` they always are.
        evidence: What proves which examples are broken: "full" keeps all images that broke one,
            packed, "sample" some of them, "verdicts" none. The first of a set of up to 32 MB,
            the second of larger ones; a finished run is taken as it is, unless this is given.
        shard: Which part of the examples to attack, like "3/16": the record is of these alone, and
            what is kept under ``out`` is for ``merge``. Probes are not.
        transfer_from: Records of other networks on the same examples, whose adversarial images are
            asked about after the attacks, one forward pass each; they are part of the attack.
        escalate: Whether to run, where flags are raised, the attacks that they ask for; returned
            is the evaluation of the lowest robust accuracy.
        on_progress: Told after every batch how far the attacks are.
        on_probe: Told what the probes do, how much of it is done, and how much there is.
        on_record: Told the record, once it is complete.

    Raises:
        ClbenchError: Anything that the user can mend; nothing that was finished is lost.

    >>> done = evaluate("simclr_at", attack="pgd,steps=2", n_examples=16, probe=False)
    >>> done.record.measure("robust_acc").n, len(done.examples)
    (16, 16)
    """
    settings = {**locals(), "escalate": False}

    from clbench.attacks.fast_and_best import FAST
    from clbench.attacks.grammar import finishing
    from clbench.schema.errors import BadValueError
    from clbench.schema.names import read_evidence_kind
    from clbench.schema.shard import read_shard

    if shard is not None and escalate:
        raise BadValueError(
            f"flags are of whole runs, got escalate with shard {shard}; merge the shards, and run "
            "the same command without one"
        )
    part = None if shard is None else read_shard(shard)
    proved = None if evidence is None else read_evidence_kind(evidence)
    data_dir, folder = path_or_none("data_dir", data_dir), path_or_none("out", out)
    given = Settings.among(settings)
    session = begin_session(
        replace(given, attack=finishing(attack)) if finish else given,
        out=folder,
        shard=part,
        transfer_from=as_paths("transfer_from", transfer_from),
        evidence=proved,
    )

    from clbench.data.splits import probe_training
    from clbench.leaderboard.table import build
    from clbench.probes.table import probes_to_run, run_probes

    training = None
    if linear_probes:
        training = probe_training(
            session.images,
            None if data is not None else session.protocol.dataset,
            files=as_paths("train_data", train_data),
            data_dir=data_dir,
            download=download,
        )
    keep = save_adversarial or (part is None and folder is None)
    with session.at_work():
        known = session.find(restart=restart, adversarial=keep)
        result = None
        if known is None or known.evidence is None:
            finishes = FAST if finish else ""
            result = session.attack(on_progress, adversarial=keep, known=known, finishes=finishes)
        if part is not None:
            return session.part(known, result)
        rows = probes_to_run(known.record if known else None, cka=probe, linear=linear_probes)
        probed = run_probes(rows, session, training=training, on_progress=on_probe)
        evaluation = session.complete(known, result, probed)
    if folder is not None:
        build(folder)
    if on_record is not None:
        on_record(evaluation.record)
    if escalate:
        from clbench.evaluation.escalate import escalated

        return escalated(evaluation, lambda attack: evaluate(**settings | {"attack": attack}))
    return evaluation


def begin_session(
    given: Settings,
    *,
    out: Path | None = None,
    shard: "Shard | None" = None,
    evidence: "EvidenceKind | None" = None,
    transfer_from: Sequence[Path] = (),
) -> "Session":
    """Return an evaluation that is about to be run, or planned: model and images are there.

    Raises:
        ClbenchError: As ``evaluate``.
    """
    from clbench.attacks.grammar import settle

    own = given.data is not None
    # what is wrong is told before torch is loaded
    settled = settle(
        given.protocol,
        own_data=own,
        norm=given.norm,
        eps=given.eps,
        attack=given.attack,
        n_examples=given.n_examples,
        seed=given.seed,
    )

    from clbench.data.load import evaluated_images
    from clbench.evaluation.session import begin
    from clbench.models.load import (
        load_for,
        preprocessing_of,
        read_seen,
        tell_of_default_images,
    )
    from clbench.runtime.devices import find_device

    seen = read_seen(given.seen)
    place = find_device(given.device)
    images, dataset = evaluated_images(
        settled,
        given.data,
        named=given.protocol is not None,
        n_examples=given.n_examples,
        data_dir=path_or_none("data_dir", given.data_dir),
        download=given.download,
        preprocessing=preprocessing_of(given.model, settled.dataset, settled.threat_model.norm),
    )
    loaded, images = load_for(
        given.model,
        images,
        dataset=dataset,
        norm=settled.threat_model.norm,
        device=place,
        weights=path_or_none("weights", given.weights),
        preprocessing=seen,
        output=given.output,
    )
    if given.protocol is None and not own:
        tell_of_default_images(loaded, images)
    session = begin(
        loaded,
        images,
        settled,
        backend=given.backend,
        batch_size=given.batch_size,
        device=place,
        precision=given.precision,
        out=out,
        shard=shard,
        evidence=evidence,
        transfer_from=transfer_from,
    )
    if own:
        log.info("%s: %s", images.name, images.summary)
    return session


def merge(
    out: AnyPaths = "results",
    *,
    on_record: "Callable[[EvaluationRecord], None] | None" = None,
) -> "list[Evaluation]":
    """Join the shards of every run that is complete, and return the runs, as if never cut.

    Args:
        out: The folder that ``evaluate`` wrote shards into, or several; what they make is written
            into the first.
        on_record: Told each record, once it is written.

    Raises:
        ClbenchError: There are no shards, or of a run some are missing, unfinished, there twice, of
            another run or damaged; those are named, and the other runs are joined all the same.
    """
    from clbench.evaluation.merge import merged
    from clbench.leaderboard.table import build
    from clbench.schema.errors import BadValueError, ClbenchError, CommandError, errors_of

    folders = as_paths("out", out)
    if not folders:
        raise BadValueError("out must name a folder, got none")
    done: list[Evaluation] = []
    errors: list[ClbenchError] = []
    for one in merged(folders):
        if isinstance(one, ClbenchError):
            errors += errors_of(one)
            continue
        done.append(one)
        build(folders[0])
        if on_record is not None:
            on_record(one.record)
    if errors:
        raise CommandError(errors)
    return done
