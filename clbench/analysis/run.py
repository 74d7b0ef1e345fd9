"""From models that a user names to matrices, tables and figures."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from clbench.analysis.comparisons import noise_like
from clbench.analysis.figures.style import FORMATS, draw
from clbench.analysis.former import check_folder, discard_former
from clbench.analysis.linear_probes import linear_accuracies
from clbench.analysis.models import Adversarial, ComparedModels, load_models
from clbench.analysis.options import DEFAULT_STEPS, ProbeOptions
from clbench.analysis.pages import pages
from clbench.analysis.result import Analysis, Matrix
from clbench.analysis.store import FIGURES, RECORD, save
from clbench.attacks.registry import attack_of
from clbench.data.load import Data
from clbench.evaluation.perturb import perturb
from clbench.models.preprocessing import Numbers, read_preprocessing
from clbench.probes.controls import as_noise
from clbench.probes.linear.pooling import DEFAULT_POOLING
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.runtime.devices import device_name
from clbench.schema.errors import BadValueError
from clbench.schema.files import make_folder
from clbench.schema.flags import NO_DERIVATIVE
from clbench.schema.paths import AnyPath, AnyPaths, as_paths, path_or_none
from clbench.schema.probe_record import SCHEMA_VERSION, ProbeRecord
from clbench.schema.progress import OnProgress, not_shown
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import AttackEntry, DataEntry, ThreatEntry
from clbench.schema.threat_model import format_eps


def compare_models(
    models: Sequence[str | Path | nn.Module] | Mapping[str, str | Path | nn.Module],
    *,
    protocol: str | None = None,
    data: Data | None = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: str | None = None,
    output: Sequence[str] = (),
    norm: str | None = None,
    eps: str | None = None,
    n_examples: int | None = None,
    comparisons: Sequence[str] = (),
    common: str = "",
    layers: Sequence[str] = (),
    measure: str = "cka",
    estimator: str = "",
    permutations: int | None = None,
    linear_probes: bool = False,
    train_data: AnyPaths = (),
    pooling: str = DEFAULT_POOLING,
    attack_steps: int = DEFAULT_STEPS,
    device: str = "auto",
    seed: int | None = None,
    out: AnyPath | None = None,
    restart: bool = False,
    figures: bool = True,
    on_progress: OnProgress = not_shown,
) -> Analysis:
    """Compare how models see clean and adversarial images, layer by layer.

    What is empty or None stands for everything, or is left to the protocol.

    Args:
        models: Names as for ``load_model``, files, or networks that take images in [0, 1];
            ``NAME=WHAT``, or a mapping from names, gives one a name, and ``NAME=FILE.safetensors``
            gives the model of that name other weights.
        protocol: Images and threat model; "digits-linf" by default.
        data: Images instead of the protocol's, as ``load_images`` takes them.
        data_dir: Folder with the public archives.
        download: Whether a public data set that is not there may be fetched.
        mean: What to subtract from pixels, as for ``evaluate``, before each of the models; like
            what follows.
        std: What to divide them by.
        resize: The shorter side that images are brought to.
        crop: What is cut out of their middle.
        interpolation: How they are resized.
        output: Which entries of what networks return are logits, as for ``evaluate``, each as
            ``NAME=ENTRY`` where there are several models.
        norm: Instead of the protocol's.
        eps: Instead of the protocol's, such as "8/255".
        n_examples: The first examples, instead of as many as the protocol says.
        comparisons: Names in ``COMPARISONS``.
        common: The model that the images common to all are made against; the first by default.
        layers: Stages, modules or patterns, as ``select_layers`` takes them.
        measure: A name in ``MEASURES``.
        estimator: A name in ``ESTIMATORS``; by default the first that is for the measure.
        permutations: Other orders of the examples, any and within classes, that tell what chance
            alone gives; by default 1,000 where the measure is averaged over minibatches, else 0.
        linear_probes: Whether linear classifiers of the features at every layer are fitted, too.
        train_data: Files of images to fit them on.
        pooling: A name in ``POOLINGS``: what these features keep of places in the image.
        attack_steps: Of PGD, which makes the adversarial images.
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: Decides every random number; instead of the protocol's.
        out: Where to write matrices, tables, figures and what they are of; None writes nothing.
        restart: Whether another comparison in that folder is replaced, and not refused.
        figures: Whether to draw, where something is written.
        on_progress: Told what is being done, and how far it is.

    Returns:
        All matrices and accuracies, and the record of what was compared.

    Raises:
        ClbenchError: A value, the data, a model or the place to write cannot be used.
    """
    started, folder = time.perf_counter(), path_or_none("out", out)
    options = ProbeOptions(
        models=models,
        protocol=protocol,
        data=data,
        data_dir=path_or_none("data_dir", data_dir),
        download=download,
        preprocessing=read_preprocessing(
            mean=mean, std=std, resize=resize, crop=crop, interpolation=interpolation
        ),
        output=output,
        norm=norm,
        eps=eps,
        n_examples=n_examples,
        comparisons=comparisons,
        common=common,
        layers=layers,
        measure=measure,
        estimator=estimator,
        permutations=permutations,
        linear_probes=linear_probes,
        train_data=as_paths("train_data", train_data),
        pooling=pooling,
        attack_steps=attack_steps,
        device=device,
        seed=seed,
    )
    compared = load_models(options, on_progress)
    if folder is not None:
        make_folder(folder)
        if not restart:
            check_folder(folder, _record(options, compared, 0.0))
    adversarial = _attack(compared, on_progress)
    matrices = _matrices(compared, adversarial, on_progress)
    accuracies = linear_accuracies(compared, adversarial, pooling, on_progress)
    record = _record(options, compared, time.perf_counter() - started)
    found = Analysis(record, matrices, accuracies)
    if folder is None:
        return found
    replaced = restart and (folder / RECORD).exists()
    saved = save(found, folder, _drawn(found, on_progress) if figures else {})
    if replaced:
        discard_former(folder, saved.record.files)
    return saved


def _matrices(
    compared: ComparedModels, adversarial: Adversarial, on_progress: OnProgress
) -> tuple[Matrix, ...]:
    """Return how alike the models see the same images: all matrices, from one pass over them."""
    similar = compare(
        _representations(compared, adversarial),
        compared.wanted.pairs,
        device=compared.device,
        measure=compared.measure,
        estimator=compared.estimator,
        seed=compared.protocol.seed,
        permutations=compared.permutations,
        classes=compared.image_set.labels,
        on_progress=on_progress,
    )
    return tuple(
        Matrix(comparison, rows.model, columns.model, similar.matrix(rows.name, columns.name))
        for comparison, rows, columns in compared.wanted.matrices
    )


def _attack(compared: ComparedModels, on_progress: OnProgress) -> Adversarial:
    """Return the adversarial images of every model that is attacked.

    Raises:
        BadValueError: One of them gives no gradient, which the attack needs.
    """
    models = (one for one in compared.attacked if one in compared.models)
    for name in models:
        if NO_DERIVATIVE in (flag.name for flag in compared.models[name].flags):
            raise BadValueError(
                f"no gradient reaches the images of model {name!r}, so that it cannot be attacked; "
                "look at clean images: --comparison clean-clean or cross-clean"
            )
    return {
        name: perturb(
            compared.networks[name][0],
            compared.image_set,
            compared.protocol.threat_model,
            seed=compared.protocol.seed,
            batch_size=None,
            device=compared.device,
            attack=attack_of(compared.attack),
            on_progress=partial(on_progress, f"attacking {name}"),
        )
        for name in compared.attacked
    }


def _representations(compared: ComparedModels, adversarial: Adversarial) -> list[Representation]:
    images, examples = compared.image_set.images, compared.image_set.sha256
    inputs = {"": Inputs(images, examples)} | {
        name: Inputs(attacked, examples, name) for name, attacked in adversarial.items()
    }
    for name, attacked in adversarial.items():
        noise = as_noise(images, attacked, seed=compared.protocol.seed)
        inputs[noise_like(name)] = Inputs(noise, examples, noise_like(name))
    found = []
    for of in compared.wanted.representations:
        network, layers = compared.networks[of.model]
        found.append(Representation(of.name, network, inputs[of.against], layers))
    return found


def _record(options: ProbeOptions, compared: ComparedModels, seconds: float) -> ProbeRecord:
    protocol, attack, wanted = compared.protocol, compared.attack, compared.wanted
    threat, spec = protocol.threat_model, attack.spec
    common = (one.against for one in wanted.representations if one.against not in ("", one.model))
    return ProbeRecord(
        schema_version=SCHEMA_VERSION,
        protocol=protocol.name,
        models=tuple(model.entry for model in compared.models.values()),
        data=DataEntry(*compared.image_set.id),
        training=DataEntry(*compared.training[0].id) if compared.training else None,
        pooling=options.pooling if compared.training else "",
        threat_model=ThreatEntry(threat.norm, format_eps(threat.eps)),
        attack=AttackEntry(spec.name, attack.backend, spec.parameters, spec.hash),
        comparisons=tuple(dict.fromkeys(matrix.comparison for matrix in wanted.matrices)),
        common=next(common, ""),
        layers=tuple(options.layers),
        measure=compared.measure,
        estimator=compared.estimator,
        permutations=compared.permutations,
        seed=protocol.seed,
        device=device_name(compared.device),
        wall_s=round(seconds, 1),
        versions=versions(),
        commit=commit(),
        created=utc_now(),
        files={},
    )


def _drawn(analysis: Analysis, on_progress: OnProgress) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, figure in pages(analysis):
        on_progress(f"drawing {name}", len(files), 0)
        files |= {f"{FIGURES}/{name}.{form}": draw(figure, form) for form in FORMATS}
    return files
