"""The public functions, one for each command; what they need is imported when they are called."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, AnyPaths, as_path, as_paths, path_or_none
from clbench.schema.progress import OnProgress

if TYPE_CHECKING:
    from clbench.data.image_set import ImageSet
    from clbench.data.load import Data
    from clbench.diagnosis.diagnose import Row
    from clbench.evaluation.evaluation import Evaluation
    from clbench.evaluation.plan import Plan
    from clbench.evaluation.progress import Progress
    from clbench.evaluation.session import Session
    from clbench.leaderboard.compare import Comparison
    from clbench.leaderboard.export.write import Exported
    from clbench.models.interface import LoadedModel
    from clbench.models.load import Model
    from clbench.probes.listing import LayerRow
    from clbench.schema.names import EvidenceKind
    from clbench.schema.records import EvaluationRecord
    from clbench.schema.shard import Shard
    from clbench.verification.findings import Verified


def evaluate(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
    weights: AnyPath | None = None,
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
    session = _session(
        model,
        protocol=protocol,
        data=data,
        data_dir=data_dir,
        download=download,
        weights=weights,
        norm=norm,
        eps=eps,
        n_examples=n_examples,
        attack=finishing(attack) if finish else attack,
        backend=backend,
        batch_size=batch_size,
        device=device,
        precision=precision,
        seed=seed,
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


def plan(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
    weights: AnyPath | None = None,
    norm: str | None = None,
    eps: str | Fraction | None = None,
    n_examples: int | None = None,
    attack: str | None = None,
    backend: str = "auto",
    batch_size: int | str | None = "auto",
    device: str = "auto",
    precision: str = "auto",
    seed: int | None = None,
) -> "Plan":
    """Return what an evaluation would cost here, and how wide its interval will be.

    Passes and time are told for the case that every image stands every attack, and for as many as
    stand a short attack on the first ones. The network and each component are run for about a
    second; probes are not planned. Nothing is written.

    Args:
        model: As for ``evaluate``, like all that follow.
        protocol: How to evaluate.
        data: Images instead of the protocol's.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.
        weights: A file instead of the model's own weights.
        norm: Linf, L2 or L1.
        eps: Largest perturbation.
        n_examples: The first so many examples.
        attack: Its name and options.
        backend: Who must run the attack.
        batch_size: Images attacked at once.
        device: Where to run.
        precision: Of the attacks.
        seed: Of random numbers.

    Raises:
        ClbenchError: As ``evaluate``.

    >>> costs = plan("simclr_at", attack="pgd,steps=2", n_examples=16).most
    >>> [(one.name, one.backward) for one in costs]
    [('clean', 48), ('pgd', 48)]
    """
    session = _session(
        model,
        protocol=protocol,
        data=data,
        data_dir=path_or_none("data_dir", data_dir),
        download=download,
        weights=weights,
        norm=norm,
        eps=eps,
        n_examples=n_examples,
        attack=attack,
        backend=backend,
        batch_size=batch_size,
        device=device,
        precision=precision,
        seed=seed,
        out=None,
    )
    from clbench.evaluation.planning import planned

    return planned(session)


def _session(
    model: "Model",
    *,
    protocol: str | None,
    data: "Data | None",
    data_dir: Path | None,
    download: bool,
    weights: AnyPath | None,
    norm: str | None,
    eps: str | Fraction | None,
    n_examples: int | None,
    attack: str | None,
    backend: str,
    batch_size: int | str | None,
    device: str,
    precision: str,
    seed: int | None,
    out: Path | None,
    shard: "Shard | None" = None,
    evidence: "EvidenceKind | None" = None,
    transfer_from: Sequence[Path] = (),
) -> "Session":
    """Return an evaluation that is about to be run, or planned: model and images are there."""
    from clbench.attacks.grammar import settle

    own = data is not None
    # what is wrong is told before torch is loaded
    settled = settle(
        protocol,
        own_data=own,
        norm=norm,
        eps=eps,
        attack=attack,
        n_examples=n_examples,
        seed=seed,
    )

    from clbench.data.load import evaluated_images
    from clbench.evaluation.session import begin
    from clbench.models.load import load_for, preprocessing_of, tell_of_default_images
    from clbench.runtime.devices import find_device

    place = find_device(device)
    images, dataset = evaluated_images(
        settled,
        data,
        named=protocol is not None,
        n_examples=n_examples,
        data_dir=data_dir,
        download=download,
        preprocessing=preprocessing_of(model, settled.dataset, settled.threat_model.norm),
    )
    loaded, images = load_for(
        model,
        images,
        dataset=dataset,
        norm=settled.threat_model.norm,
        device=place,
        weights=path_or_none("weights", weights),
    )
    if protocol is None and not own:
        tell_of_default_images(loaded, images)
    return begin(
        loaded,
        images,
        settled,
        backend=backend,
        batch_size=batch_size,
        device=place,
        precision=precision,
        out=out,
        shard=shard,
        evidence=evidence,
        transfer_from=transfer_from,
    )


def evaluate_corruptions(
    model: "Model",
    *,
    dataset: str,
    data_dir: AnyPath,
    weights: AnyPath | None = None,
    n_examples: int | None = None,
    baseline: AnyPath | None = None,
    device: str = "auto",
    out: AnyPath | None = None,
    on_probe: OnProgress | None = None,
) -> "Evaluation":
    """Look at a model's answers to corrupted images: every corruption in five severities.

    Args:
        model: As for ``evaluate``; ``robustbench:NAME`` is of RobustBench's table of corruptions.
        dataset: cifar10-c, cifar100-c, imagenet-c or imagenet-3dcc.
        data_dir: The folder that holds it in its public layout, and the clean images.
        weights: A file instead of the model's own weights.
        n_examples: The first so many images.
        baseline: A file of another network's accuracies, laid out as RobustBench's
            ``unaggregated_results.csv``; with it comes the mean corruption error.
        device: Where to run.
        out: Folder for record, evidence and leaderboard.csv; None writes nothing.
        on_probe: Told how much is done, and how much there is.

    Raises:
        ClbenchError: Anything that the user can mend.
    """
    from clbench.data.load import load_test_set
    from clbench.evaluation.corrupted_record import evaluate_corrupted
    from clbench.leaderboard.table import build
    from clbench.models.load import load_for, of_threat_model, preprocessing_of
    from clbench.runtime.devices import find_device
    from clbench.schema.corruptions import CORRUPTED
    from clbench.schema.names import look_up

    of, folder = look_up(CORRUPTED, dataset, "set of corrupted images"), path_or_none("out", out)
    place, named = find_device(device), of_threat_model(model, of.threat_model)
    clean = load_test_set(
        of.dataset,
        n_examples=n_examples or of.n_examples,
        data_dir=as_path("data_dir", data_dir),
        preprocessing=preprocessing_of(named, of.dataset, "Linf"),
    )
    loaded, clean = load_for(
        named,
        clean,
        dataset=of.dataset,
        norm="Linf",
        device=place,
        weights=path_or_none("weights", weights),
    )
    done = evaluate_corrupted(
        loaded,
        of,
        clean,
        data_dir=as_path("data_dir", data_dir),
        device=place,
        baseline=path_or_none("baseline", baseline),
        out=folder,
        on_progress=on_probe,
    )
    if folder is not None:
        build(folder)
    return done


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


def compare(
    records: AnyPaths, *, recipes: bool = False, out: AnyPath = "results"
) -> "list[Comparison]":
    """Compare robust accuracies on the same examples, each with each: what differs beyond chance.

    Differences have 95 % intervals for pairs, and p-values by McNemar's exact test; what is said of
    all pairs of a setting holds together (Holm).

    Args:
        records: Files of records, folders with records, or names of models. They are compared
            where data, examples, norm, eps and attack agree.
        recipes: Whether several seeds of one recipe are compared as one: by their mean, with
            intervals that count both the seeds and the examples.
        out: The folder with the records of models that are named.

    Returns:
        A comparison for each setting that all have a record of.

    Raises:
        ClbenchError: There is no such record, two have nothing in common, or the evidence of one
            is not what it names.
    """
    from clbench.leaderboard.compare import compare

    return compare(as_paths("records", records), as_path("out", out), recipes=recipes)


def verify(
    record: AnyPath = "results",
    *,
    level: int | None = None,
    model: "Model | None" = None,
    weights: AnyPath | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    audit: int | None = None,
    nonce: str | None = None,
    attack: str | None = None,
    device: str = "auto",
    on_cost: "Callable[[str], None] | None" = None,
) -> "Verified":
    """Return what holds of a record, or of all records in a folder, whoever made them.

    Level 1 recomputes from files whatever follows from them, and checks that every image that
    proves something is in the ball. At level 2 the network says again what it says of clean and of
    these images. At level 3, examples that are claimed to be robust are drawn and attacked again.
    Code of whoever made a record runs only where it is given by hand.

    Args:
        record: A record, or a folder that holds records.
        level: How far to go, 1, 2 or 3; as far as what is given is good for, unless said.
        model: The network of a record whose own name does not lead to it, as for ``evaluate``.
        weights: A file of its weights.
        data: Its images, where they are not in the package.
        data_dir: The folder with the public archives of a data set.
        audit: How many robust examples to attack again, 299 unless given.
        nonce: Decides, with the hash of the evidence, which those are, and the random numbers; a
            new one each time unless given.
        attack: What attacks them; something stronger than was claimed, unless given.
        device: auto, cpu, cuda or cuda:N.
        on_cost: Told in a line what each level costs, before it begins.

    Raises:
        ClbenchError: There are no records, or a value that cannot be; what does not hold is among
            the problems of what is returned.
    """
    from clbench.leaderboard.check import check_target
    from clbench.verification.findings import FILES
    from clbench.verification.request import Given, read_request

    given = Given(
        model=model,
        weights=path_or_none("weights", weights),
        data=data,
        data_dir=path_or_none("data_dir", data_dir),
    )
    request = read_request(
        given, level=level, audit=audit, nonce=nonce, attack=attack, device=device
    )
    tell = on_cost or (lambda _line: None)
    verified, read = check_target(as_path("record", record), tell)
    if request.level == FILES:
        return verified
    from clbench.verification.again import ask_again

    return ask_again(verified, read, request, tell)


def bundle(
    record: AnyPath,
    *,
    weights: AnyPath | None = None,
    weights_url: str = "",
    out: AnyPath | None = None,
) -> Path:
    """Pack a record, what proves it and a card into one file, and return its path.

    ``clbench leaderboard add`` verifies it, whoever made it, and adds it to a leaderboard. The same
    record gives the same bytes.

    Args:
        record: A record in a folder of results.
        weights: Those of its network, of safetensors, to be sent with it; those of the zoo, timm
            and RobustBench are known by name.
        weights_url: Where anybody can fetch them, by https.
        out: The file to write, NAME.clbench.zip in the working folder unless given.

    Raises:
        ClbenchError: Files alone tell that the record does not hold, nothing was attacked, the
            weights are others than it tells of, or there is another file.
    """
    from clbench.leaderboard.bundles.make import bundle

    return bundle(
        as_path("record", record),
        weights=path_or_none("weights", weights),
        weights_url=weights_url,
        out=path_or_none("out", out),
    )


def load_model(
    name: "Model", *, dataset: str | None = None, weights: AnyPath | None = None
) -> "LoadedModel":
    """Return a model with its network in eval mode, and what is known about it.

    Args:
        name: As for ``evaluate``.
        dataset: What it will be run on; the default of a zoo name's tag.
        weights: As for ``evaluate``.

    Raises:
        ClbenchError: There is no such model, or it cannot be built.

    >>> load_model("simclr_at", dataset="digits").backbone
    'resnet18_w16'
    """
    from clbench.models.load import load_model

    return load_model(name, dataset=dataset, weights=path_or_none("weights", weights))


def list_layers(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    weights: AnyPath | None = None,
) -> "list[LayerRow]":
    """Return the layers of a network that ``probe`` can compare, the usual ones first.

    Args:
        model: As for ``evaluate``.
        protocol: Whose images it is asked about; digits-linf unless given.
        data: Images instead of the protocol's, as for ``evaluate``.
        data_dir: The folder with the public archives of a data set.
        weights: A file of weights instead of the model's own.

    Raises:
        ClbenchError: As ``evaluate``.

    >>> [row.layer for row in list_layers("simclr_at") if row.is_usual][:3]
    ['stem', 'stage1.0', 'stage1.1']
    """
    from clbench.data.load import evaluated_images
    from clbench.models.load import load_model
    from clbench.models.validate import adapted
    from clbench.probes.listing import list_layers
    from clbench.schema.protocol import DEFAULT_PROTOCOL, find_protocol

    settled = find_protocol(protocol or DEFAULT_PROTOCOL)
    images, dataset = evaluated_images(
        settled,
        data,
        named=protocol is not None,
        n_examples=None,
        data_dir=path_or_none("data_dir", data_dir),
    )
    _, c, h, w = images.images.shape
    loaded = load_model(
        model,
        dataset=dataset,
        n_classes=images.n_classes,
        shape=(c, h, w),
        weights=path_or_none("weights", weights),
    )
    some = images.images[:2].clone()
    return list_layers(adapted(loaded.network, some), some)


def load_data(
    data: "Data",
    *,
    n_examples: int | None = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
) -> "ImageSet":
    """Return the test images of a data set, or images from a file or from memory.

    Args:
        data: As for ``evaluate``.
        n_examples: The first so many.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.

    Raises:
        ClbenchError: They are missing, unreadable or wrong.

    >>> len(load_data("digits"))
    360
    """
    from clbench.data.load import load_images

    return load_images(
        data,
        n_examples=n_examples,
        data_dir=path_or_none("data_dir", data_dir),
        download=download,
    )


def read_records(out: AnyPath = "results") -> "list[EvaluationRecord]":
    """Return every record under a folder, in the order of their paths.

    Raises:
        RecordError: One of them cannot be read, or two hold one run.
    """
    from clbench.schema.record_files import read_records

    return read_records(as_path("out", out))


def build_leaderboard(out: AnyPath = "results") -> Path:
    """Write ``leaderboard.csv`` from the records under a folder, and return its path.

    Raises:
        RecordError: There are no records, or one cannot be read; the CSV stays as it was.
        StorageError: The folder cannot be written.
    """
    from clbench.leaderboard.table import build

    return build(as_path("out", out))


def export_leaderboard(
    to: AnyPath, *, form: str, out: AnyPath = "results", about: AnyPath | None = None
) -> "Exported":
    """Write the records under a folder as the files of another leaderboard.

    Args:
        to: The folder to write; what is there already is never overwritten by something else.
        form: robustbench, every-eval-ever or hf-model-index.
        out: The folder that holds the records.
        about: A TOML file with what records do not know: papers, authors, additional data.

    Raises:
        ClbenchError: There are no records, none has a place there, or nothing can be written.
    """
    from clbench.leaderboard.export.write import export

    return export(
        as_path("to", to), form=form, out=as_path("out", out), about=path_or_none("about", about)
    )


def add_external(
    record: AnyPath,
    *,
    source: str,
    robust_acc: float | str | None = None,
    certificate: AnyPath | None = None,
    model: "Model | None" = None,
    weights: AnyPath | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
) -> "EvaluationRecord":
    """Add to a record a lower robust accuracy that somebody else's attack found, and rank by it.

    What the record measured stays as it is.

    Args:
        record: Its file.
        source: Whose attack it was: a paper, an address, a name.
        robust_acc: The share of images that stay robust, below the record's own; with a
            certificate, what that shows.
        certificate: A .npz file with ``index`` [m], places in the data set, and ``adversarial``
            [m, c, h, w], floats in [0, 1]: each is asked whether it is in the ball and broken.
        model: The network, as for ``evaluate``, where the record's own name does not lead to it.
        weights: A file of its weights, likewise.
        data: The images, likewise.
        data_dir: The folder with the public archives of a data set.

    Raises:
        ClbenchError: The accuracy is not lower, or the certificate does not show it; the record
            stays as it was.
    """
    from clbench.leaderboard.external import add_external
    from clbench.verification.request import Given

    return add_external(
        as_path("record", record),
        source=source,
        robust_acc=robust_acc,
        certificate=path_or_none("certificate", certificate),
        given=Given(
            model, path_or_none("weights", weights), data, path_or_none("data_dir", data_dir)
        ),
    )


def diagnose() -> "list[Row]":
    """Return one row for each known defect of an installation, found or not."""
    from clbench.diagnosis.diagnose import diagnose

    return diagnose()
