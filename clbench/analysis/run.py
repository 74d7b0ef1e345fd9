"""From models that a user names to matrices, tables and figures."""

import time
from functools import partial

from clbench.analysis.figures import FORMATS, draw
from clbench.analysis.linear_probes import linear_accuracies
from clbench.analysis.models import Adversarial, ComparedModels, Request, load_models
from clbench.analysis.pages import pages
from clbench.analysis.result import SCHEMA_VERSION, Analysis, Description, Matrix
from clbench.analysis.store import save
from clbench.evaluation.run import perturb
from clbench.loading import data_entry, model_entry
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.estimators import find_estimator
from clbench.probes.similarity.measures import MEASURES
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.runtime.devices import device_name
from clbench.schema.files import make_folder
from clbench.schema.progress import OnProgress
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import AttackEntry, ThreatEntry
from clbench.schema.threat_model import format_eps

FIGURES = "figures"
"""The folder of the figures, inside that of the comparison."""


def run(request: Request, on_progress: OnProgress = lambda _what, _done, _total: None) -> Analysis:
    """Compare the models of a request, and write matrices, tables, figures and description.

    Raises:
        ClbenchError: The request, the data, a model or the place to write cannot be used.
    """
    started = time.perf_counter()
    compared = load_models(request, on_progress)
    make_folder(request.out)
    adversarial = _attack(compared, on_progress)
    matrices = analyse(
        compared,
        adversarial,
        measure=request.measure,
        estimator=request.estimator,
        on_progress=on_progress,
    )
    accuracies = linear_accuracies(compared, adversarial, request.pooling, on_progress)
    described = _describe(request, compared, time.perf_counter() - started)
    found = Analysis(described, matrices, accuracies)
    drawn = _drawn(found, on_progress) if request.draw else {}
    return save(found, request.out, drawn)


def analyse(
    compared: ComparedModels,
    adversarial: Adversarial,
    *,
    measure: str,
    estimator: str,
    on_progress: OnProgress,
) -> tuple[Matrix, ...]:
    """Return how alike the compared see the same images: all matrices, from one pass over them."""
    similar = compare(
        _representations(compared, adversarial),
        compared.wanted.pairs,
        device=compared.device,
        measure=measure,
        estimator=estimator,
        seed=compared.protocol.seed,
        on_progress=on_progress,
    )
    return tuple(
        Matrix(comparison, rows.model, columns.model, similar.matrix(rows.name, columns.name))
        for comparison, rows, columns in compared.wanted.matrices
    )


def _attack(compared: ComparedModels, on_progress: OnProgress) -> Adversarial:
    return {
        name: perturb(
            compared.models[name].network,
            compared.image_set,
            compared.protocol.threat_model,
            seed=compared.protocol.seed,
            batch_size=None,
            device=compared.device,
            attack=compared.attack.steps[0].attack,
            on_progress=partial(on_progress, f"attacking {name}"),
        )
        for name in compared.attacked
    }


def _representations(compared: ComparedModels, adversarial: Adversarial) -> list[Representation]:
    images, examples = compared.image_set.images, compared.image_set.sha256
    inputs = {"": Inputs(images, examples)} | {
        name: Inputs(attacked, examples, name) for name, attacked in adversarial.items()
    }
    return [
        Representation(
            representation.name,
            compared.models[representation.model].network,
            inputs[representation.against],
            compared.layers[representation.model],
        )
        for representation in compared.wanted.representations
    ]


def _describe(request: Request, compared: ComparedModels, seconds: float) -> Description:
    protocol, attack, wanted = compared.protocol, compared.attack, compared.wanted
    threat = protocol.threat_model
    common = (one.against for one in wanted.representations if one.against not in ("", one.model))
    return Description(
        schema_version=SCHEMA_VERSION,
        protocol=protocol.name,
        models=tuple(model_entry(model) for model in compared.models.values()),
        data=data_entry(compared.image_set),
        training=data_entry(compared.training[0]) if compared.training else None,
        pooling=request.pooling if compared.training else "",
        threat_model=ThreatEntry(threat.norm, format_eps(threat.eps)),
        attack=AttackEntry(attack.name, attack.backend, attack.parameters, attack.hash),
        comparisons=tuple(dict.fromkeys(matrix.comparison for matrix in wanted.matrices)),
        common=next(common, ""),
        layers=tuple(request.layers),
        measure=request.measure,
        estimator=find_estimator(MEASURES[request.measure], request.estimator).name,
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
